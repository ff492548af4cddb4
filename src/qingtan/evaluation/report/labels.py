"""What the reports call things, in both languages."""

from collections.abc import Mapping
from typing import Literal

from qingtan.corpus.report.labels import Label

Verdict = Literal["better", "level", "worse"]

VERDICTS: Mapping[Verdict, Label] = {
    "better": Label("better", "更好"),
    "level": Label("level", "相当"),
    "worse": Label("worse", "更差"),
}

ROLES = {
    "system": Label("System", "系统"),
    "user": Label("User", "用户"),
    "assistant": Label("Model", "模型"),
}

INTERVALS = Label(
    "Each figure with its interval of 95%, by the bootstrap over the items; ↓: lower is better. "
    "The gain is over the baseline, which needs no model; above 0 is better, in percentage points "
    "where the figure is a share.",
    "每个数字附 95% 区间（对题目做自助法重采样）；↓ 表示越低越好。"
    "增益相对于无需模型的基线，大于 0 即更好；比例类数字的增益以百分点计。",
)
OVERALL = Label("Over the answers to all tasks together.", "对全部任务的回答合并统计。")
HELD_OUT = Label(
    "Bits per byte of documents that were kept out of training; lower is better.",
    "未参与训练的文档上的每字节比特数；越低越好。",
)
CONVERSATIONS = Label(
    "As they came, none chosen or edited.",
    "原样列出，未经挑选或修改。",
)
CUT = Label("cut at the limit of its length", "达到长度上限而中断")
EMPTY = Label("(empty)", "（空）")


def in_language(label: Label, language: str) -> str:
    """Return the label in "zh" or "en"."""
    return label.chinese if language == "zh" else label.english
