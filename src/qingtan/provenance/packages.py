"""The installed packages that Qingtan runs on, with their licences, from their metadata."""

import importlib.metadata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qingtan.provenance.spdx import UNKNOWN_LICENCE, is_identified, normalise

# Tools for working on the project, which nothing of it runs on.
_LEFT_OUT = {"dev"}
_CLASSIFIER = "License :: "
# What these say of themselves is no SPDX expression. apsw lets everyone choose a licence that the
# OSI approved; pypdfium2 names its own two, and brings PDFium with its parts, all permissive.
_READ = {
    "apsw": "MIT",
    "pypdfium2": "BSD-3-Clause AND Apache-2.0",
    "sqlite-vec": "MIT OR Apache-2.0",
}


@dataclass(frozen=True)
class Package:
    """An installed distribution.

    Attributes:
        name: canonical (PEP 503).
        licence: an SPDX expression or `LicenseRef-…`, as `normalise` gives it.
        requires: the canonical names of those that it needs and that are installed.
    """

    name: str
    version: str
    licence: str
    requires: tuple[str, ...]


def installed_packages(root: str = "qingtan") -> list[Package]:
    """Return a distribution and all that it needs, sorted by name.

    Extras of the root count, but "dev", as far as their packages are installed. Nothing is
    returned where the root itself is not installed, as in a bare source tree.
    """
    start: str = canonicalize_name(root)
    extras: dict[str, set[str]] = {start: _extras(start)}
    waiting = [start]
    found: dict[str, Package] = {}
    while waiting:
        name = waiting.pop()
        distribution = _distribution(name)
        if distribution is None:
            continue
        needed = {n: e for n, e in _needs(distribution, extras[name]) if _distribution(n)}
        found[name] = Package(
            name, distribution.version, package_licence(distribution), tuple(sorted(needed))
        )
        for other, asked in needed.items():
            known = extras.setdefault(other, set())
            if other not in found or asked - known:  # an extra brings further packages
                waiting.append(other)
            known |= asked
    return [found[name] for name in sorted(found)]


def package_licence(distribution: importlib.metadata.Distribution) -> str:
    """Return the licence that a distribution's metadata names.

    `License-Expression` comes first (PEP 639), then `License`, then the classifiers; of the last
    two the first that is recognised. A text that is not recognised is kept as a `LicenseRef-…`.
    Of a few packages, whose words are known to mean something else, it is what they mean.
    """
    metadata = distribution.metadata
    if read := _READ.get(canonicalize_name(distribution.name or "")):
        return read
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or []
        if text.startswith(_CLASSIFIER) and not text.endswith("OSI Approved")
    ]
    fields = [name for name in ("License-Expression", "License") if name in metadata]
    stated = [words for words in (*(metadata[name] for name in fields), *classifiers) if words]
    return _best(stated) if stated else UNKNOWN_LICENCE


def _best(stated: list[str]) -> str:
    return normalise(next((words for words in stated if is_identified(words)), stated[-1]))


def _needs(
    distribution: importlib.metadata.Distribution, extras: Iterable[str]
) -> Iterator[tuple[str, set[str]]]:
    for text in distribution.requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), set(requirement.extras)


def _extras(root: str) -> set[str]:
    distribution = _distribution(root)
    provided = distribution.metadata.get_all("Provides-Extra") if distribution else None
    return set(provided or []) - _LEFT_OUT


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
