import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.rewriting import by_model, rewrite

Said = tuple[str, ...]


def turns(*said: str) -> list[dict[str, str]]:
    """Return questions and, where they do not end with "？", answers as messages."""
    return [
        {"role": "user" if text.endswith("？") else "assistant", "content": text} for text in said
    ]


@pytest.mark.parametrize(
    ("said", "question", "whole"),
    [
        (("A-100 有什么功能？",), "它多少钱？", "A-100多少钱？"),
        (("A-100 有什么功能？",), "多少钱？", "A-100 多少钱？"),
        (("A-100 有什么功能？",), "这款支持蓝牙吗？", "A-100支持蓝牙吗？"),
        (("A-100 有什么功能？",), "那它多少钱？", "A-100多少钱？"),
        (("A-100多少钱？",), "B-200呢？", "B-200多少钱？"),
        (("A-100多少钱？", "B-200呢？"), "它保修多久？", "B-200保修多久？"),
        (("公司是谁创立的？", "李四创立了公司。[1]"), "他还创立了什么？", "李四还创立了什么？"),
        (("图书馆几点开门？",), "周末呢？", "周末 图书馆几点开门？"),
        (("图书馆几点开门？",), "食堂呢？", "食堂几点开门？"),
        (("北京大学图书馆几点开门？",), "那里可以复印吗？", "北京大学图书馆可以复印吗？"),
        (("员工每年有几天年假？",), "怎么申请？", "员工 年假 怎么申请？"),
        (("员工每年有几天年假？",), "那病假呢？", "病假 员工每年有几天年假？"),
        (("《红楼梦》的作者是谁？",), "它写于哪一年？", "《红楼梦》写于哪一年？"),
        (("《红楼梦》的作者是谁？", "是曹雪芹。"), "他是哪里人？", "曹雪芹是哪里人？"),
        (("上海的人口是多少？",), "北京呢？", "北京的人口是多少？"),
        (("上海的人口是多少？",), "面积呢？", "上海 面积"),
        (("怎么退款？",), "需要多久？", "退款 需要多久？"),
        (("会员卡怎么办理？",), "这个卡能退吗？", "会员卡 这个卡能退吗？"),
        (("《公园条例》第三条规定了什么？",), "第四条呢？", "《公园条例》第四条规定了什么？"),
        (("TiDB 支持哪些数据类型？",), "它和MySQL有什么区别？", "TiDB和MySQL有什么区别？"),
        (("糖尿病有哪些症状？",), "如何预防？", "糖尿病 如何预防？"),
        (("张三在哪个部门？",), "她的电话是多少？", "张三的电话是多少？"),
        (("西湖在哪里？",), "附近有什么酒店？", "西湖 附近有什么酒店？"),
        (("西湖在哪里？",), "那门票呢？", "西湖 门票"),
    ],
)
def test_a_follow_up_gets_what_it_leaves_out(said: Said, question: str, whole: str) -> None:
    assert rewrite(question, turns(*said)) == whole


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ((), "它多少钱？"),
        (("今天天气怎么样？",), "《公园条例》第三条规定了什么？"),
        (("A-100 有什么功能？",), "办理护照需要什么材料？"),
        (("怎么退款？",), "退款需要什么材料？"),
        (("上海的人口是多少？",), "B-200的价格是多少？"),
    ],
)
def test_a_whole_question_stays_as_it_is(said: Said, question: str) -> None:
    assert rewrite(question, turns(*said)) == question


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=4))
def test_any_conversation_can_be_read(question: str, said: list[str]) -> None:
    first = rewrite(question, turns(*said))
    assert first == rewrite(question, turns(*said))
    assert len(first) <= len(question) + sum(map(len, said)) + 10


def test_a_model_may_write_the_question_where_it_keeps_its_words() -> None:
    prompts = []

    def write(prompt: str) -> str:
        prompts.append(prompt)
        return "A-100的保修期是多久？"

    said = turns("A-100 有什么功能？")
    assert by_model(write)("保修多久？", said) == "A-100的保修期是多久？"
    assert "A-100 有什么功能？" in prompts[0]
    # What lacks the question's own words, or is no question at all, gives way to the rule.
    assert by_model(write)("有耳机吗？", said) == "A-100 有耳机吗？"
    assert by_model(lambda prompt: "")("保修多久？", said) == "A-100 保修多久？"


def test_a_model_is_not_asked_for_a_whole_question() -> None:
    def write(prompt: str) -> str:
        raise AssertionError

    question = "办理护照需要什么材料？"
    assert by_model(write)(question, turns("A-100 有什么功能？")) == question
