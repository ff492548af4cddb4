"""The model card: what a model is, what it was made from, and how well it does, in two languages.

Every figure comes from the model's provenance and configuration; what a person has to say about
it stands in files of its own and is put on top.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from qingtan.glm.config import GLMConfig
from qingtan.provenance import Provenance, Step, render_sources

# Recorded on a step of training or export as `bits_per_byte.<source>`.
BITS_PREFIX = "bits_per_byte."
# The cards by language.
CARD_FILES = {"en": "README.md", "zh": "README.zh-CN.md"}


def render_card(
    config: GLMConfig, provenance: Provenance, opening: str, language: str, evaluation: str = ""
) -> str:
    """Return the card as Markdown.

    Args:
        provenance: its last step is the training or the export, with the held-out figures.
        opening: what a person wrote of this model, Markdown.
        language: "en" or "zh".
        evaluation: what an evaluation of this model found, Markdown in the card's language with
            headings of the third level; empty where there was none.
    """
    say = partial(pick, language)
    sections = [
        (say("Architecture", "结构"), _architecture(config, say)),
        (say("Training", "训练"), _training(provenance, say)),
        (say("Evaluation", "评测"), evaluation),
        (say("Held-out text", "留出文本"), _held_out(provenance.steps[-1], say)),
        (say("Sources and licences", "数据来源与许可证"), _sources(provenance, say)),
    ]
    body = "\n".join(f"## {title}\n\n{text.strip()}\n" for title, text in sections if text)
    return f"{opening.strip()}\n\n{body}"


def pick(language: str, english: str, chinese: str) -> str:
    """Return the text in a card's language, "zh" or "en"."""
    return chinese if language == "zh" else english


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; no cell can break its row, whatever stands in it.

    Args:
        header: what each column is.
        rows: as many cells each.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _architecture(config: GLMConfig, say: Callable[[str, str], str]) -> str:
    rows = {
        say("parameters", "参数"): f"{config.num_parameters:,}",
        say("layers", "层数"): config.num_hidden_layers,
        say("hidden width", "隐藏宽度"): config.hidden_size,
        say("feed-forward width", "前馈宽度"): config.intermediate_size,
        say("heads / key-value groups", "注意力头 / 键值组"): (
            f"{config.num_attention_heads} / {config.num_key_value_heads}"
        ),
        say("vocabulary, padding included", "词表（含填充）"): f"{config.vocab_size:,}",
        say("context", "上下文"): f"{config.max_position_embeddings:,} tokens",
    }
    intro = say(
        "ChatGLM3's architecture; transformers loads it as `GlmForCausalLM`.",
        "与 ChatGLM3 相同的结构；transformers 可用 `GlmForCausalLM` 直接加载。",
    )
    return f"{intro}\n\n{markdown_table(['', ''], [[k, str(v)] for k, v in rows.items()])}"


def _training(provenance: Provenance, say: Callable[[str, str], str]) -> str:
    header = [
        say(*names)
        for names in (
            ("stage", "阶段"),
            ("started from", "起点"),
            ("steps", "步数"),
            ("tokens seen", "训练词元"),
            ("hours", "小时"),
            ("on", "设备"),
            ("date", "日期"),
        )
    ]
    rows = []
    for number, step in enumerate((s for s in provenance.steps if s.name == "train"), start=1):
        d = step.details
        rows.append(
            [
                str(number),
                str(d["size"]),
                f"{d['steps']:,}",
                f"{d['tokens']:,}",
                str(d["hours"]),
                str(d["device"]),
                step.date[:10],
            ]
        )
    return markdown_table(header, rows) + _privacy(provenance, say)


def _privacy(provenance: Provenance, say: Callable[[str, str], str]) -> str:
    """Say what DP-SGD promises, for each stage that was trained so."""
    promises = [
        f"(ε, δ) = ({step.details['epsilon']}, {step.details['delta']:g})"
        for step in provenance.steps
        if "epsilon" in step.details
    ]
    if not promises:
        return ""
    return "\n\n" + say(
        f"Differentially private for each document of the last stage's data: {'; '.join(promises)} "
        "(DP-SGD, PRV accountant). It holds for the weights, not for the losses that the run "
        "noted, nor for the figures below.",
        f"对最后阶段数据中的每篇文档满足差分隐私：{'；'.join(promises)}"
        "（DP-SGD，PRV 计算）。该保证只针对权重，不包括训练时记录的损失和下面的数字。",
    )


def _held_out(step: Step, say: Callable[[str, str], str]) -> str:
    intro = say(
        "Bits per byte on documents that were kept out of training, of this checkpoint as it is "
        "stored (lower is better; for conversations only the answers count). "
        "`provenance.json` holds the same figures.",
        "在未参与训练的文档上的每字节比特数，以本检查点的存储精度测得"
        "（越低越好；对话只计回答部分）。同样的数字见 `provenance.json`。",
    )
    rows = [
        [name.removeprefix(BITS_PREFIX), f"{value:.3f}"]
        for name, value in step.details.items()
        if name.startswith(BITS_PREFIX)
    ]
    header = [say("source", "来源"), say("bits a byte", "比特/字节")]
    return f"{intro}\n\n{markdown_table(header, rows)}"


def _sources(provenance: Provenance, say: Callable[[str, str], str]) -> str:
    intro = say(
        "Everything that the stages could draw from, whole; a stage draws a part of it. Counts of "
        "two stages are added.",
        "各训练阶段可取用的全部语料；每个阶段只取其中一部分。两个阶段的数量相加。",
    )
    return f"{intro}\n\n{render_sources(provenance)}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
