import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.sentences import split_sentences


@given(st.text("天地。！？；\n .a1”）…", max_size=60))
def test_the_sentences_together_are_the_text(text: str) -> None:
    assert "".join(split_sentences(text)) == text


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("你好。再见！", ["你好。", "再见！"]),
        ("他说：“走吧。”然后走了。", ["他说：“走吧。”", "然后走了。"]),
        ("价格是3.5元。很好", ["价格是3.5元。", "很好"]),
        ("It works. See J. Smith, v1.2 too.", ["It works. ", "See J. Smith, v1.2 too."]),
        ("第一行\n第二行", ["第一行\n", "第二行"]),
        ("真的吗？！当然……好。", ["真的吗？！", "当然……", "好。"]),
        ("", []),
    ],
)
def test_where_sentences_end(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences
