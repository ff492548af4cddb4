"""A licence report for the terminal, in the user's language."""

from collections.abc import Iterable

from qingtan.i18n import tr
from qingtan.provenance.check import Finding, LicenceReport
from qingtan.provenance.credits import one_line
from qingtan.provenance.families import NOT_IN_TABLE, NOT_STATED
from qingtan.provenance.family import Answer, Text
from qingtan.provenance.terms import OBLIGATIONS, USE_NAMES, terms_of

_ANSWERS: dict[Answer, Text] = {
    "yes": ("allowed", "允许"),
    "conditional": ("allowed on conditions", "在满足条件时允许"),
    "unknown": ("not known", "无法判断"),
    "no": ("not allowed", "不允许"),
}
_NAMES_SHOWN = 6


def render(report: LicenceReport) -> str:
    """Return the report as text: the answer, problems, conditions, licences, points to check."""
    parts = [
        _heading(report),
        _problems(report),
        _conditions(report),
        _licences(report),
        _points(report),
        tr(
            "This sums up what the licences ask, as far as their names are recorded. "
            "It is no legal advice.",
            "以上仅按记录中的许可证名称归纳其要求，不构成法律意见。",
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_code(report: LicenceReport) -> str:
    """Return what the licences of the code come to, with its problems and conditions alone."""
    packages, answer = len(report.findings) - 1, tr(*_ANSWERS[report.answer])
    heading = tr(
        f"The code, Qingtan and the {packages} installed packages that it runs on: {answer}",
        f"代码（清谈及其所用的 {packages} 个已安装软件包）: {answer}",
    )
    parts = (heading, _problems(report), _conditions(report))
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(report: LicenceReport) -> str:
    subject, use = one_line(report.subject), tr(*USE_NAMES[report.use])
    return f"{subject}\n{use}: {tr(*_ANSWERS[report.answer])}"


def _problems(report: LicenceReport) -> str:
    if not report.problems:
        return ""
    lines = [tr("Problems:", "问题：")]
    for finding in report.problems:
        answer = tr(*_ANSWERS[finding.verdict.answer])
        lines.append(f"  {_name(finding)} — {one_line(finding.stated) or '—'}: {answer}")
        whys = dict.fromkeys(tr(*terms_of(name).explanation) for name in finding.verdict.troubles)
        lines += [f"    {why}" for why in whys]
        lines.append(f"    → {_remedy(finding)}")
    return "\n".join(lines)


def _remedy(finding: Finding) -> str:
    if finding.kind == "model":
        way_out = tr(
            "start from another base model, or ask the holder for a permission",
            "改用其他基座模型，或向权利人取得许可",
        )
    elif finding.kind == "code":
        way_out = tr("do without the package, or ask its holder", "不使用该软件包，或联系其权利人")
    else:
        name = one_line(finding.name)
        way_out = tr(
            f'leave the source out with exclude_sources = ["{name}"] in the recipe (its aliases '
            "too) and build again, or ask the holder for a permission",
            f'在配方中用 exclude_sources = ["{name}"]（含其别名）排除该来源后重新构建，'
            "或向权利人取得许可",
        )
    if finding.verdict.answer == "no":
        return way_out
    return f"{_find_out(finding)}; {way_out}"


def _find_out(finding: Finding) -> str:
    terms = [terms_of(name) for name in finding.verdict.troubles]
    if NOT_STATED in terms:
        return tr(
            "find out the licence and enter it in the table of sources",
            "查明许可证并登记到来源表",
        )
    if NOT_IN_TABLE in terms:
        return tr("read the licence yourself", "请自行阅读该许可证")
    return tr(
        "if the words name a licence, enter its SPDX expression under [licences] of the table of "
        "sources",
        "如果这种说法确指某许可证，请在来源表的 [licences] 中登记其 SPDX 表达式",
    )


def _conditions(report: LicenceReport) -> str:
    if not report.obligations:
        return ""
    lines = [tr("Conditions:", "条件：")]
    for obligation, names in report.obligations.items():
        lines.append(f"  {tr(*OBLIGATIONS[obligation])}: {_list(names)}")
    return "\n".join(lines)


def _licences(report: LicenceReport) -> str:
    by_licence: dict[str, list[Finding]] = {}
    for finding in report.findings:
        by_licence.setdefault(finding.licence, []).append(finding)
    lines = [tr("Licences:", "许可证：")]
    for licence, findings in by_licence.items():
        answer = tr(*_ANSWERS[findings[0].verdict.answer])
        lines.append(f"  {licence}: {answer} — {_list(f.name for f in findings)}")
        families = dict.fromkeys(tr(*terms_of(n).explanation) for n in findings[0].verdict.licences)
        lines += [f"    {explanation}" for explanation in families]
    return "\n".join(lines)


def _points(report: LicenceReport) -> str:
    points = [
        tr(
            f"{one} and {other}: each asks that an adaptation of several texts be under itself, "
            "and no licence suits both. Whether your work is such an adaptation, or a collection "
            "of separate texts, has to be looked at.",
            f"{one} 与 {other}：二者都要求改编作品采用自身许可证，且没有许可证能同时满足。"
            "您的成果属于改编作品还是各自独立文本的汇编，需要核实。",
        )
        for one, other in report.conflicts
    ]
    exceptions = sorted({name for f in report.findings for name in f.verdict.exceptions})
    if exceptions:
        points.append(
            tr(
                f"Exceptions that allow more were left aside: {', '.join(exceptions)}.",
                f"未计入放宽要求的例外条款：{', '.join(exceptions)}。",
            )
        )
    points += [tr(*text) for text in _remarks(report)]
    if not points:
        return ""
    return "\n".join([tr("Points to check:", "需要核实："), *(f"  {point}" for point in points)])


def _remarks(report: LicenceReport) -> list[Text]:
    remarks: list[Text] = []
    if report.is_recognised:
        remarks.append(
            (
                "There is no provenance.json; the model was recognised by the shape in its "
                "config.json. If the weights are others, write a record.",
                "没有 provenance.json；该模型由 config.json 中的结构识别。"
                "若权重另有来源，请补写记录。",
            )
        )
    if report.resembles:
        remarks.append(
            (
                f"The model has the shape of {report.resembles}, but its record names no base "
                "model. If it was made from those weights, their licence binds too.",
                f"该模型与 {report.resembles} 结构相同，但记录中没有基座模型。"
                "若由其权重得来，则同样受其许可证约束。",
            )
        )
    if report.is_model and report.provenance.sources:
        remarks.append(
            (
                "Whether weights are a derivative of the texts they were trained on is unsettled; "
                "the licences of the texts are taken here as if they bound the model.",
                "权重是否构成训练文本的演绎作品尚无定论；此处按文本许可证约束模型来处理。",
            )
        )
    if report.use != "redistribute" and report.findings[0].kind != "code":
        remarks.append(
            (
                "Handing on the files asks for more: look at the use `redistribute` first.",
                "对外提供文件另有要求：请先以 `redistribute` 用途检查。",
            )
        )
    return remarks


def _name(finding: Finding) -> str:
    kinds = {
        "source": tr("source", "来源"),
        "model": tr("base model", "基座模型"),
        "code": tr("package", "软件包"),
    }
    name = f"{kinds[finding.kind]} {one_line(finding.name)}"
    if finding.documents:
        name += tr(f" ({finding.documents:,} documents)", f"（{finding.documents:,} 篇）")
    return name


def _list(names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(one_line(name) for name in names))
    shown, rest = distinct[:_NAMES_SHOWN], len(distinct) - _NAMES_SHOWN
    text = ", ".join(shown)
    return text if rest <= 0 else text + tr(f" and {rest} more", f" 等 {len(distinct)} 项")
