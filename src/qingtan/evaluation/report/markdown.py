"""The results as Markdown: two reports, and the section of a model's card.

What a model wrote may hold anything, so whatever Markdown would read as a sign is escaped
(https://spec.commonmark.org/0.31.2/#backslash-escapes, and GitHub's tables and formulas).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from qingtan.corpus.report.formats import NOTHING, format_count
from qingtan.evaluation.report import labels, tables
from qingtan.evaluation.report.labels import in_language
from qingtan.evaluation.report.tables import Row, Shown
from qingtan.evaluation.results import Conversation, Results
from qingtan.training.card import markdown_table, pick

Say = Callable[[str, str], str]

_SIGNS = re.compile(r"([\\`*_\[\]<>~&$])")
# Headings, rules, lists and tables begin with these.
_FIRST_SIGNS = re.compile(r"^(?:(?=[#+=:-])|(\d+)(?=[.)]))")


def render_report(results: Results, language: str) -> str:
    """Return a whole report in "zh" or "en"."""
    say = partial(pick, language)
    title = say("Evaluation of", "评测：") + (" " if language == "en" else "")
    parts = [
        *_findings(results, language),
        (say("What was asked", "题目"), _asked(results, language)),
        (say("Held-out text", "留出文本"), _held_out(results, language)),
        (say("Conversations", "对话"), _conversations(results.conversations, language)),
        (say("Settings", "设置"), _settings(results, language)),
    ]
    return f"# {title}{escape(results.model)}\n\n{_sections(parts, 2)}"


def render_evaluation(results: Results, language: str) -> str:
    """Return what a model's card says of its evaluation, with headings of the third level.

    Held-out text is left out, for the card has a section of its own for it.

    Args:
        results: of the very model whose card it is.
        language: "en" or "zh".
    """
    say, device = partial(pick, language), escape(results.device)
    intro = say(
        f"By `qingtan evaluate` {results.version}, {results.date[:10]}, on {device}: "
        "these very weights. Tasks with many good answers are sampled with temperature "
        f"{results.temperature:g} and top p {results.top_p:g}, seed {results.seed}; of the others "
        f"the likeliest token is taken. The repetition penalty is {results.repetition_penalty:g}, "
        f"and {_ngrams(results, 'en')}. `evaluation.json` holds the same figures.",
        f"由 `qingtan evaluate` {results.version} 于 {results.date[:10]} 在 {device} 上"
        "对本权重测得。有多种合适回答的任务按默认设置采样（温度 "
        f"{results.temperature:g}，top p {results.top_p:g}，随机种子 {results.seed}），"
        f"其余任务取最可能的词元。重复惩罚为 {results.repetition_penalty:g}，"
        f"{_ngrams(results, 'zh')}。同样的数字见 `evaluation.json`。",
    )
    parts = [
        *_findings(results, language),
        (say("What was asked", "题目"), _asked(results, language)),
        (say("Conversations", "对话"), _conversations(results.conversations, language)),
    ]
    return f"{intro}\n\n{_sections(parts, 3)}"


def escape(text: str) -> str:
    """Return a text on one line that reads as it stands; a table escapes its own bars."""
    return _SIGNS.sub(r"\\\1", _shown(" ".join(text.split())))


def quote(text: str) -> str:
    """Return a text as a quotation that reads as it stands, with its lines and indents."""
    lines = [_line(line) for line in re.split(r"\r\n|\r|\n", text)]
    paragraphs = re.split(r"\n{2,}", "\n".join(lines).strip("\n"))
    broken = "\n\n".join(paragraph.replace("\n", "\\\n") for paragraph in paragraphs)
    return "\n".join(f"> {line}".rstrip() for line in broken.split("\n"))


def _line(text: str) -> str:
    text = text.expandtabs(4).rstrip()
    bare = text.lstrip()
    # As entities, for spaces at the beginning of a line count for nothing.
    indent = "".join(f"&#{ord(c)};" for c in text[: len(text) - len(bare)].replace(" ", "\xa0"))
    signs = _SIGNS.sub(r"\\\1", _shown(bare)).replace("|", "\\|")
    return indent + _FIRST_SIGNS.sub(lambda found: f"{found[1] or ''}\\", signs)


def _shown(text: str) -> str:
    """Return a text with characters that have no picture, such as overrides, as code points."""
    return "".join(c if c.isprintable() or c == "\u3000" else f"U+{ord(c):04X}" for c in text)


def _sections(parts: Iterable[tuple[str, str]], level: int) -> str:
    marks = "#" * level
    return "\n".join(f"{marks} {title}\n\n{text}\n" for title, text in parts if text)


def _ngrams(results: Results, language: str) -> str:
    if size := results.no_repeat_ngram_size:
        return pick(
            language,
            f"no run of {size} tokens is said twice",
            f"同一回答中不重复任何连续 {size} 个词元",
        )
    return pick(language, "repeated runs of tokens are allowed", "不限制词元片段的重复")


def _findings(results: Results, language: str) -> list[tuple[str, str]]:
    say = partial(pick, language)
    return [
        (say("Tasks", "任务"), _tasks(results, language)),
        (say("All answers", "全部回答"), _overall(results, language)),
    ]


def _tasks(results: Results, language: str) -> str:
    if not results.tasks:
        return ""
    say = partial(pick, language)
    rows = []
    for task in results.tasks:
        name = say(task.english, task.chinese)
        for number, row in enumerate(tables.rows_of(task.figures)):
            rows.append(["" if number else escape(name), *_cells(row, language)])
        if not task.figures:
            rows.append([escape(name), *[NOTHING] * 6])
    header = [say("task", "任务"), *_header(say)]
    return f"{in_language(labels.INTERVALS, language)}\n\n{markdown_table(header, rows)}"


def _overall(results: Results, language: str) -> str:
    if not results.overall:
        return ""
    rows = [_cells(row, language) for row in tables.rows_of(results.overall)]
    table = markdown_table(_header(partial(pick, language)), rows)
    return f"{in_language(labels.OVERALL, language)}\n\n{table}"


def _header(say: Say) -> list[str]:
    return [
        say("figure", "指标"),
        say("items", "题数"),
        say("model", "模型"),
        say("baseline", "基线"),
        say("gain", "增益"),
        say("verdict", "结论"),
    ]


def _cells(row: Row, language: str) -> list[str]:
    verdict = in_language(labels.VERDICTS[row.verdict], language) if row.verdict else NOTHING
    figures = map(_figure, (row.model, row.baseline, row.gain))
    return [escape(in_language(row.label, language)), row.items, *figures, verdict]


def _figure(shown: Shown) -> str:
    return escape(f"{shown.value} ({shown.interval})" if shown.interval else shown.value)


def _asked(results: Results, language: str) -> str:
    say = partial(pick, language)
    header = [
        say("task", "任务"),
        say("file", "文件"),
        say("asked", "提问数"),
        say("of", "总数"),
        say("too long", "超长"),
        say("baseline", "基线"),
    ]
    rows = [
        [
            escape(say(task.english, task.chinese)),
            escape(task.file),
            *map(format_count, (task.asked, task.available, task.too_long)),
            escape(say(task.baseline_english, task.baseline_chinese)) or NOTHING,
        ]
        for task in results.tasks
    ]
    return markdown_table(header, rows) if rows else ""


def _held_out(results: Results, language: str) -> str:
    if not results.held_out:
        return ""
    say = partial(pick, language)
    header = [say("source", "来源"), say("bits a byte", "比特/字节")]
    rows = [
        [escape(name), _figure(tables.show_bits(bits))] for name, bits in results.held_out.items()
    ]
    return f"{in_language(labels.HELD_OUT, language)}\n\n{markdown_table(header, rows)}"


def _settings(results: Results, language: str) -> str:
    rows = [
        [in_language(label, language), escape(value)]
        for label, value in tables.settings_of(results)
    ]
    return markdown_table(["", ""], rows)


def _conversations(conversations: Iterable[Conversation], language: str) -> str:
    texts = [_conversation(n, c, language) for n, c in enumerate(conversations, start=1)]
    if not texts:
        return ""
    return "\n\n".join([in_language(labels.CONVERSATIONS, language), *texts])


def _conversation(number: int, conversation: Conversation, language: str) -> str:
    parts = [_turn(number, message, language) for message in conversation.messages]
    if not conversation.ended:
        parts.append(f"*{in_language(labels.CUT, language)}*")
    return "\n\n".join(parts)


def _turn(number: int, message: Mapping[str, str], language: str) -> str:
    role = message.get("role", "")
    name = in_language(labels.ROLES[role], language) if role in labels.ROLES else escape(role)
    text = message.get("content", "")
    said = quote(text) if text.strip() else f"> {in_language(labels.EMPTY, language)}"
    return f"**{number} · {name}**\n\n{said}"
