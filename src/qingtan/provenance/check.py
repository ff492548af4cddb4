"""May a corpus or a model be used so? What the licences of its sources and base models ask."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from qingtan.errors import UserError
from qingtan.provenance.credits import attribution_text
from qingtan.provenance.family import Answer, Obligation, Use
from qingtan.provenance.models import CONFIG_FILE, recognise_model
from qingtan.provenance.packages import installed_packages
from qingtan.provenance.record import PROVENANCE_FILE, Provenance
from qingtan.provenance.spdx import normalise
from qingtan.provenance.terms import OBLIGATIONS, USES, Verdict, incompatible, judge

Kind = Literal["model", "source", "code"]
_RUN_MODEL = "model"
_WORST_FIRST: tuple[Answer, ...] = ("no", "unknown", "conditional", "yes")


@dataclass(frozen=True)
class Finding:
    """What the licence of one part says of the use.

    Attributes:
        kind: a "source" of text, a base "model", or a package of "code".
        stated: the licence as its record states it.
        licence: the same as `normalise` reads it.
        documents: of a source, 0 for others.
    """

    kind: Kind
    name: str
    stated: str
    licence: str
    verdict: Verdict
    documents: int = 0


@dataclass(frozen=True)
class LicenceReport:
    """What the licences of all parts come to; no legal advice.

    Attributes:
        subject: what was looked at: a path, or the packages.
        findings: part by part, the worst first.
        conflicts: pairs of share-alike licences that no one licence of a joint work satisfies.
        is_model: a checkpoint was looked at, whose relation to its text the law has not settled.
        is_recognised: it has no record; its shape alone names it.
        resembles: the published model whose shape it has, where its record names no base model.
    """

    subject: str
    use: Use
    findings: tuple[Finding, ...]
    conflicts: tuple[tuple[str, str], ...] = ()
    is_model: bool = False
    is_recognised: bool = False
    resembles: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def answer(self) -> Answer:
        """ "yes", "conditional", "no" or "unknown": the worst of the findings."""
        return self.findings[0].verdict.answer

    @property
    def allowed(self) -> bool:
        """Whether every licence is known and allows the use, be it on conditions."""
        return self.answer in ("yes", "conditional")

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are not allowed or not known."""
        return tuple(f for f in self.findings if f.verdict.answer in ("no", "unknown"))

    @cached_property
    def obligations(self) -> dict[Obligation, tuple[str, ...]]:
        """What the use depends on, each with the names of the parts that ask it."""
        asked = {
            obligation: tuple(f.name for f in self.findings if obligation in f.verdict.obligations)
            for obligation in OBLIGATIONS
        }
        return {obligation: names for obligation, names in asked.items() if names}

    @cached_property
    def attribution(self) -> str:
        """The text to ship; empty for packages, which carry their own."""
        return attribution_text(self.provenance) if self.provenance != Provenance() else ""


def check(path: str | Path, use: Use) -> LicenceReport:
    """Judge a corpus or a model by its sources of text and its base models.

    Args:
        path: a corpus, a checkpoint, or a run's folder, whose finished model is taken. A folder of
            ChatGLM3-6B or GLM-4-9B needs no record: it is known by its `config.json`.
        use: "commercial", "research" or "redistribute".

    Raises:
        UserError: the use is none of these, the folder has no record, or the record is damaged or
            names neither sources nor models.
    """
    _check_use(use)
    folder, provenance, is_recognised = find_provenance(path)
    findings = [
        _finding("model", model.name, model.licence, use) for model in provenance.models
    ] + [
        _finding("source", source.name, source.licence, use, source.documents)
        for source in provenance.sources
    ]
    alike = None if provenance.models else recognise_model(folder)
    licences = [f.licence for f in findings] if use == "redistribute" else []
    return LicenceReport(
        subject=str(path),
        use=use,
        findings=_worst_first(findings),
        conflicts=tuple(incompatible(licences)),
        is_model=(folder / CONFIG_FILE).is_file(),
        is_recognised=is_recognised,
        resembles=alike.name if alike else "",
        provenance=provenance,
    )


def check_code(use: Use) -> LicenceReport:
    """Judge Qingtan itself, which is under Apache-2.0, and the installed packages it runs on.

    Raises:
        UserError: there is no such use.
    """
    _check_use(use)
    packages = [p for p in installed_packages() if p.name != "qingtan"]
    findings = [_finding("code", "qingtan", "Apache-2.0", use)]
    findings += [_finding("code", package.name, package.licence, use) for package in packages]
    return LicenceReport(subject="qingtan", use=use, findings=_worst_first(findings))


def find_provenance(path: str | Path) -> tuple[Path, Provenance, bool]:
    """Return the folder of a record, the record, and whether it is made up for a published model.

    Args:
        path: as for `check`.

    Raises:
        UserError: as for `check`.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; name a corpus, a checkpoint or a run")
    folder = next((f for f in (path, path / _RUN_MODEL) if (f / PROVENANCE_FILE).exists()), path)
    if not (folder / PROVENANCE_FILE).exists():
        model = recognise_model(path)
        if model is not None:
            return path, Provenance(models=(model,)), True
    provenance = Provenance.read(folder)
    if not provenance.sources and not provenance.models:
        raise UserError(
            f"{folder / PROVENANCE_FILE}: names neither sources nor base models, so nothing can be "
            "said of its licences; build the corpus or the model again"
        )
    return folder, provenance, False


def _check_use(use: str) -> None:
    if use not in USES:
        raise UserError(f"use {use!r} is none of {', '.join(USES)}")


def _finding(kind: Kind, name: str, stated: str, use: Use, documents: int = 0) -> Finding:
    licence = normalise(stated)
    return Finding(kind, name, stated, licence, judge(licence, use), documents)


def _worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    # Sorting is stable: within an answer, models come before sources, in the record's order.
    return tuple(sorted(findings, key=lambda f: _WORST_FIRST.index(f.verdict.answer)))
