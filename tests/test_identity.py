"""The conversations about who the assistant is: well formed, of one mind, and modest."""

import json
import re
import statistics
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qingtan.corpus.documents import content_of
from qingtan.safety import find_personal_data

PATH = Path(__file__).parents[1] / "recipes" / "built-in" / "identity.jsonl"
LINES = PATH.read_text(encoding="utf-8").splitlines()
RECORDS: list[dict[str, Any]] = [json.loads(line) for line in LINES]
FIXED = {"task": "identity", "source": "qingtan-identity", "licence": "Apache-2.0"}
MOST_CHARACTERS = 160
MOST_TURNS = 3
HAN = "[\u4e00-\u9fff]"
NAME = "清谈|Qingtan"
SAYS_ITS_NAME = "(我是|我叫|叫我|你在和)清谈|(I am|name is) Qingtan"
# One that confuses two numbers may give the wrong one to somebody in danger, so there are few.
TELEPHONE_NUMBERS = {"12356", "120", "110"}
DESPAIR = "不想活|自杀|伤害自己|活着没意思|轻生|want to die"

# What a question that matches the first must be answered with: the second, whatever the wording.
RULES = {
    "who it is": ("你(到底)?是谁(?!做)|你谁啊|跟谁说话|who are you", SAYS_ITS_NAME),
    "its name": ("你叫什么|怎么称呼你|英文名|你姓什么|your name|名字是什么意思", NAME),
    "an introduction": ("介绍|是什么模型|你是什么？|what are you", SAYS_ITS_NAME),
    "no human": ("你是真人|are you human", f"^(不是|No).*({NAME}).*(不是真人|not a person)"),
    "no other model": ("你是 ?Chat|are you ChatGPT", f"^(不是|No).*({NAME})"),
    "no company's": ("OpenAI|智谱|谷歌", "^(不是|No).*(从头训练|from scratch)"),
    "its makers": ("谁(创造|开发)了你|谁做的|who made you", "清谈项目|Qingtan project"),
    "its licence": ("许可证|开源的吗|商用|open source", "Apache-2.0"),
    "its size": ("多少参数|有多大", "几百万个参数"),
    "privacy": ("被别人看到|传到网上|隐私|private", "不会离开|not leave"),
    "no weather": ("天气|下雨|weather", "不知道|not know"),
    "no clock": ("几点|几号|星期几|哪一年|what (time|day) is it", "不知道|看不到|cannot|not know"),
    "no news": ("新闻|大事|比赛", "不知道"),
    "no internet": ("你能上网|会上网|browse", "^(不能|不会|No)"),
    "no pictures": ("图片|照片|see pictures", "看不到|^No"),
    "no memory": ("还记得我吗|昨天我们聊", "^不记得"),
    "no calculation": ("算数|乘以|数学题|1加1", "计算器"),
    "a doctor": ("吃什么药|什么病|生病|发烧|怀孕|headache", "医生|doctor"),
    "a lawyer": ("起诉|合同|离婚|我的律师", "律师"),
    "no investments": ("股票会涨|哪只基金|stock", "风险|risk"),
    "mistakes": ("会出错吗|可靠吗|相信你|always right|trust you", "出错|wrong|mistakes"),
    "no feelings": ("你有感情|你会难过|你会生气|have feelings", "没有感情|^No"),
    "no harm": (
        "偷|骗老人|诈骗短信|报复|伤害一个人|炸弹|盗一个|作弊|假证件|骂他|steal",
        "不能帮忙|不能写|不能帮你|我不写|不写。|cannot help",
    ),
    "in despair": (DESPAIR, "信任|家人|someone you trust"),
    "a hotline": (DESPAIR, "12356.*120 (或|or) 110"),
}


def exchanges() -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each answer after what was said before it, the question last."""
    for record in RECORDS:
        said = [message["content"] for message in record["messages"]]
        for place in range(1, len(said), 2):
            yield tuple(said[:place]), said[place]


def bare(text: str) -> str:
    """Return the letters and digits of a text: what counts when a question is asked twice."""
    return "".join(c for c in text.lower() if unicodedata.category(c)[0] in "LN")


EXCHANGES = list(exchanges())
ANSWERS = sorted({answer for _, answer in EXCHANGES})
CHINESE_ANSWERS = [answer for answer in ANSWERS if re.search(HAN, answer)]


def test_the_file_holds_enough_conversations() -> None:
    assert len(RECORDS) >= 300
    assert sum(len(record["messages"]) > 2 for record in RECORDS) >= 25
    assert PATH.read_bytes().endswith(b"}\n")


def test_every_conversation_is_well_formed() -> None:
    for number, record in enumerate(RECORDS, start=1):
        messages, where = record["messages"], f"line {number}"
        assert record == FIXED | {"messages": messages}, where
        assert content_of("conversations", record) == {"messages": messages}, where
        turns = len(messages) // 2
        assert 1 <= turns <= MOST_TURNS, where
        assert [m["role"] for m in messages] == ["user", "assistant"] * turns, where
        assert all(set(message) == {"role", "content"} for message in messages), where


def test_no_spaces_stand_at_the_ends() -> None:
    for said, answer in EXCHANGES:
        for text in (said[-1], answer):
            lines = text.split("\n")
            assert lines[0], text
            assert lines[-1], text
            assert all(line == line.strip() for line in lines), text


def test_no_conversation_is_there_twice() -> None:
    seen: dict[str, int] = {}
    for number, record in enumerate(RECORDS, start=1):
        key = json.dumps(record["messages"], ensure_ascii=False)
        assert seen.setdefault(key, number) == number, f"lines {seen[key]} and {number}"


def test_the_same_question_has_the_same_answer() -> None:
    answers: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for said, answer in EXCHANGES:
        answers[tuple(map(bare, said))].add(answer)
    contradictory = {said: found for said, found in answers.items() if len(found) > 1}
    assert not contradictory


def test_answers_are_short() -> None:
    assert max(map(len, ANSWERS)) <= MOST_CHARACTERS
    assert statistics.median(map(len, CHINESE_ANSWERS)) <= 40


@pytest.mark.parametrize("rule", RULES)
def test_answers_keep_to_the_facts(rule: str) -> None:
    asked, told = RULES[rule]
    found = [(said[-1], a) for said, a in EXCHANGES if re.search(asked, said[-1], re.IGNORECASE)]
    assert found
    for question, answer in found:
        assert re.search(told, answer), f"{question} {answer}"


def test_telephone_numbers_are_the_three_for_people_in_danger() -> None:
    numbers = {number for answer in ANSWERS for number in re.findall(r"\d{3,}", answer)}
    assert numbers == TELEPHONE_NUMBERS


def test_nothing_is_masked_as_personal_data() -> None:
    for line in LINES:
        assert not find_personal_data(line), line


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (rf"{HAN}[,.!?;:()\"]|[,!?;:()\"]{HAN}", "Chinese has full-width punctuation"),
        (rf"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}", "a space stands between Chinese and Latin"),
        (
            r" [，。！？；：、“”（）]|[，。！？；：、“”（）] ",
            "no space beside full-width punctuation",
        ),
        ("您", "it says 你"),
        ("｜", "kept for the tables of entities"),
        ("#|\\*|\ufffd|\u3000|\t", "plain text"),
    ],
    ids=["punctuation", "Latin", "spaces", "address", "bar", "plain"],
)
def test_chinese_answers_are_written_alike(pattern: str, why: str) -> None:
    for answer in CHINESE_ANSWERS:
        assert not re.search(pattern, answer), f"{why}: {answer}"
