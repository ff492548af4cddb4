"""The model card: what a model is, what it was made from, and how well it does, in two languages.

Every figure comes from the model's provenance and configuration; what a person has to say about
it stands in files of its own and is put on top.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from qingtan.glm.config import GLMConfig
from qingtan.provenance import Provenance, Step, render_sources

# Recorded on a step of training or export as `bits_per_byte.<source>`.
BITS_PREFIX = "bits_per_byte."
# Recorded on a step of training as `finding.<figure>`, where an encoder was trained.
FINDING_PREFIX = "finding."
# What the cards call the divergences of a recipe.
_DIVERGENCES = {
    "forward_kl": ("KL(teacher ‖ student)", "KL(教师 ‖ 学生)"),
    "reverse_kl": ("KL(student ‖ teacher)", "KL(学生 ‖ 教师)"),
    "jsd": (
        "Jensen–Shannon divergence (β = {jsd_beta:g})",
        "Jensen–Shannon 散度（β = {jsd_beta:g}）",
    ),
}
# The cards by language.
CARD_FILES = {"en": "README.md", "zh": "README.zh-CN.md"}

# Gives of an English and a Chinese text that in the card's language.
Say = Callable[[str, str], str]
# A step's.
Details = Mapping[str, str | int | float]


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
        (say("Held-out passages", "留出段落"), _found(provenance, say)),
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


def _architecture(config: GLMConfig, say: Say) -> str:
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


def _training(provenance: Provenance, say: Say) -> str:
    trained = [step for step in provenance.steps if step.name == "train"]
    own = [step for step in trained if not step.of]
    taught = [step for step in trained if step.of]
    text = _stages(own, say) + _privacy(own, say)
    if taught:
        title = say("The teacher's training", "教师的训练")
        text += f"\n\n### {title}\n\n{_stages(taught, say)}"
    return text


def _stages(steps: Sequence[Step], say: Say) -> str:
    """Return the table of a model's stages, or of its teachers', and how they were distilled."""
    names = [
        ("stage", "阶段"),
        ("started from", "起点"),
        ("steps", "步数"),
        ("tokens seen", "训练词元"),
        ("hours", "小时"),
        ("on", "设备"),
        ("date", "日期"),
    ]
    rows = [[str(number), *_stage(step)] for number, step in enumerate(steps, start=1)]
    if any(step.of for step in steps):
        names.insert(1, ("teacher", "教师"))
        for row, step in zip(rows, steps, strict=True):
            row.insert(1, step.of)
    distilled = [
        _distillation(number, step.details, say)
        for number, step in enumerate(steps, start=1)
        if "teacher" in step.details
    ]
    return "\n\n".join([markdown_table([say(*name) for name in names], rows), *distilled])


def _stage(step: Step) -> list[str]:
    d = step.details
    return [
        str(d["size"]),
        f"{d['steps']:,}",
        f"{d['tokens']:,}",
        str(d["hours"]),
        str(d["device"]),
        step.date[:10],
    ]


def _distillation(number: int, details: Details, say: Say) -> str:
    """Say from what teacher a stage was distilled, and how."""
    teacher, loss = _teacher(details, say), _loss(details, say)
    parts = [
        say(
            f"Stage {number} was distilled from {teacher}; the loss is {loss}",
            f"第 {number} 阶段蒸馏自 {teacher}；损失为 {loss}",
        )
    ]
    if temperature := details.get("temperature"):
        parts.append(
            say(
                f"both distributions are softened by a temperature of {temperature:g}",
                f"两个分布均以温度 {temperature:g} 软化",
            )
        )
    if share := details.get("on_policy_share"):
        percent = f"{100 * float(share):g}%"
        parts.append(
            say(
                f"in {percent} of the updates the student wrote the answers itself, and learnt "
                "from the teacher alone",
                f"{percent} 的更新由学生自己写出回答，且只向教师学习",
            )
        )
    return say("; ", "；").join(parts) + say(".", "。")


def _teacher(details: Details, say: Say) -> str:
    text = f"`{_cell(str(details['teacher']))}`"
    if count := details.get("teacher_parameters"):
        text += say(f" ({count:,} parameters)", f"（{count:,} 个参数）")
    if "logits" in details:
        folder = f"`{_cell(str(details['logits']))}`"
        text += say(
            f", samples of whose distributions are in {folder}", f"，其分布的样本存于 {folder}"
        )
    return text


def _loss(details: Details, say: Say) -> str:
    """Return the terms of a distillation's loss; one that weighs nothing is left out."""
    ce_weight = float(details["ce_weight"])
    divergence = say(*_DIVERGENCES[str(details["divergence"])]).format_map(details)
    terms = [
        (ce_weight, say("cross-entropy", "交叉熵")),
        (1 - ce_weight, divergence),
        (
            float(details.get("hidden_weight", 0)),
            say("squared difference of hidden states", "隐藏状态的平方差"),
        ),
    ]
    return " + ".join(f"{weight:g} · {name}" for weight, name in terms if weight)


def _privacy(steps: Sequence[Step], say: Say) -> str:
    """Say what DP-SGD promises, for each stage that was trained so."""
    promises = [
        f"(ε, δ) = ({step.details['epsilon']}, {step.details['delta']:g})"
        for step in steps
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


def _found(provenance: Provenance, say: Say) -> str:
    """Return how well an encoder finds passages, if the last stage made one."""
    details = [step.details for step in provenance.steps if step.name == "train" and not step.of]
    found = {
        name.removeprefix(FINDING_PREFIX): value
        for name, value in (details[-1] if details else {}).items()
        if name.startswith(FINDING_PREFIX)
    }
    if not found:
        return ""
    intro = say(
        f"{found['pairs']:,} questions on documents that were kept out of training, and among "
        f"{found['passages']:,} passages the nearest ones by their vectors.",
        f"{found['pairs']:,} 个问题出自未参与训练的文档，"
        f"按向量在 {found['passages']:,} 个段落中查找。",
    )
    rows = {
        say("its passage is the nearest", "所属段落排第一"): f"{found['recall_1']:.1%}",
        say("is among the five nearest", "所属段落在前五"): f"{found['recall_5']:.1%}",
        say("mean of 1 / rank", "平均倒数排名"): f"{found['mrr']:.3f}",
    }
    return f"{intro}\n\n{markdown_table(['', ''], [[k, v] for k, v in rows.items()])}"


def _held_out(step: Step, say: Say) -> str:
    if not any(name.startswith(BITS_PREFIX) for name in step.details):
        return ""
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


def _sources(provenance: Provenance, say: Say) -> str:
    intro = say(
        "Everything that the stages could draw from, whole; a stage draws a part of it. Counts of "
        "two stages are added.",
        "各训练阶段可取用的全部语料；每个阶段只取其中一部分。两个阶段的数量相加。",
    )
    if any(step.of for step in provenance.steps):
        intro += say(" The teacher's stages are among them.", "教师的训练阶段也计算在内。")
    return f"{intro}\n\n{render_sources(provenance)}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
