"""First sentences: where they end in Chinese, English and mixed text."""

import pytest

from qingtan.evaluation.tasks.sentences import first_sentence


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("桥长30.5米。桥宽6米。", "桥长30.5米。"),
        ("茶园的土壤pH值约为5.5,较酸.本文测了两年.", "茶园的土壤pH值约为5.5,较酸."),
        ("Is it old? Yes.", "Is it old?"),
        ("It is v1.2 now. Then v2.", "It is v1.2 now."),
        ("It is v1.2.", "It is v1.2."),
        ("标题\n正文。", "标题"),
        (" \n 正文。\n", "正文。"),
        ("没有句号", "没有句号"),
        ("", ""),
    ],
)
def test_a_sentence_ends_where_it_ends(text: str, first: str) -> None:
    assert first_sentence(text) == first
