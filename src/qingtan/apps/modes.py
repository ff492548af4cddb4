"""What sets modes of answering apart: how a model is asked, what stands around an answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from qingtan.knowledge.answers import Answered, Ask, Passage
from qingtan.prompts.answers import answer_from_passages, answer_law

ModeName = Literal["search", "tutor", "law", "medicine"]

MEDICAL_NOTICE = "以上内容摘自所给资料，仅供了解，不能代替医生的诊断和治疗意见。"
NO_DIAGNOSIS = "这里不作诊断，也不开药方，请尽快咨询医生。资料中相关的内容如下："
EMERGENCY = "如果情况紧急，请立即拨打120或前往最近的急诊。"
LEGAL_NOTICE = "以上是法条原文的内容，不构成法律意见。"

_DIAGNOSIS = re.compile(
    "(?:我|孩子|宝宝|老公|老婆|爸|妈|父亲|母亲|爷爷|奶奶|家人|朋友)[^。？?]{0,30}"
    "(?:是不是|是否|会不会|得了|患了|什么病|怎么回事|怎么办|严重吗|吃什么药|用什么药|要不要紧|能治好|吃多少|停药)"
    "|(?:帮我|给我|替我)[^。？?]{0,10}(?:诊断|看病|开药|开个?方)"
    "|(?:该|应该|可以|能)(?:吃|用|服)(?:什么|哪种|哪些|多少)(?:药|剂量|毫克|片|粒)"
)
_EMERGENCY = re.compile(
    "胸痛|胸口(?:很|剧)?痛|呼吸困难|喘不过气|昏迷|昏倒|晕倒|抽搐|大出血|吐血|咯血|中毒|窒息|休克|自杀|轻生|不想活|偏瘫|"
    "口齿不清|剧烈头痛|误服|误吞|过量服"
)


@dataclass(frozen=True, slots=True)
class Mode:
    """A way of answering.

    Attributes:
        ask, show: how a model is asked, and what it is shown of a passage.
        frame: what stands before and after the text of an answer, given the question.
    """

    ask: Ask = answer_from_passages
    show: Callable[[Passage], str] = lambda passage: passage.shown
    frame: Callable[[str, Answered], tuple[str, str]] = lambda question, answered: ("", "")


def article_name(passage: Passage) -> str:
    """Return what an article is cited as: 《公园条例》第三条; its headings where it is none."""
    chunk = passage.chunk
    if not chunk.headings:
        return chunk.label
    law = chunk.headings[0]
    law = law if law.startswith("《") else f"《{law}》"
    return law + (chunk.label or "".join(chunk.headings[1:]))


def _show_article(passage: Passage) -> str:
    name, text = article_name(passage), passage.text
    label = passage.chunk.label
    # The article begins with its own number.
    return name + (text.removeprefix(label) if label and text.startswith(label) else f" {text}")


def _frame_law(question: str, answered: Answered) -> tuple[str, str]:
    if answered.refused:
        return "", ""
    supported = (each.passage for each in answered.sentences if each.supported)
    numbers = sorted({number for number in supported if number})
    names = [(number, answered.named(number, article_name)) for number in numbers]
    cited = "；".join(f"[{number}]{name}" for number, name in names if name)
    return "", (f"\n依据：{cited}" if cited else "") + f"\n{LEGAL_NOTICE}"


def _frame_medicine(question: str, answered: Answered) -> tuple[str, str]:
    urgent = EMERGENCY + "\n" if _EMERGENCY.search(question) else ""
    if answered.refused:
        return urgent, ""
    asks = bool(_DIAGNOSIS.search(question))
    return urgent + (NO_DIAGNOSIS + "\n" if asks else ""), f"\n{MEDICAL_NOTICE}"


def asks_for_diagnosis(question: str) -> bool:
    """Whether a question is about somebody's own illness, which only a doctor may judge."""
    return bool(_DIAGNOSIS.search(question) or _EMERGENCY.search(question))


MODES: dict[ModeName, Mode] = {
    "search": Mode(),
    "tutor": Mode(),
    "law": Mode(answer_law, _show_article, _frame_law),
    "medicine": Mode(frame=_frame_medicine),
}
