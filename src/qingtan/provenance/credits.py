"""The attribution text: whom to name for a corpus or a model, grouped by licence."""

from qingtan.provenance.record import ModelSource, Provenance, Source
from qingtan.provenance.spdx import normalise, parse

_TITLE = "Sources and attribution / 来源与署名"
_SPDX = "https://spdx.org/licenses/"


def attribution_text(provenance: Provenance) -> str:
    """Return a plain text to ship beside a corpus or a model, the same in every language.

    Sources and base models stand under their licences, the licence with most text first, each with
    its counts, its origin and its attribution, then every attribution that its records carry. White
    space within a string becomes single spaces.
    """
    groups: dict[str, list[Source]] = {}
    for source in provenance.sources:
        groups.setdefault(normalise(source.licence), []).append(source)
    parts = [_TITLE]
    for model in provenance.models:
        parts.append(_model_part(model))
    for licence, sources in sorted(groups.items(), key=lambda g: (-_bytes(g[1]), g[0])):
        parts.append(_group_part(licence, sources))
        ordered = sorted(sources, key=lambda s: (-s.bytes, s.name))
        parts += [_source_part(source, provenance) for source in ordered]
    return "\n\n".join(parts) + "\n"


def one_line(text: str) -> str:
    """Return text from a file in one line, without characters that steer a terminal."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)


def _group_part(licence: str, sources: list[Source]) -> str:
    documents = sum(source.documents for source in sources)
    size = _bytes(sources) / 1e6
    title = f"{licence} — sources: {len(sources)}, documents: {documents:,}, MB: {size:,.1f}"
    names = sorted({symbol.key for symbol in parse(licence).symbols})
    links = [f"  {_SPDX}{name}.html" for name in names if not name.startswith("LicenseRef-")]
    return "\n".join([f"== {title} ==", *links])


def _model_part(model: ModelSource) -> str:
    lines = [f"== {normalise(model.licence)} — base model / 基座模型: {one_line(model.name)} =="]
    return "\n".join([*lines, *_details(model.origin, model.attribution)])


def _source_part(source: Source, provenance: Provenance) -> str:
    lines = [f"{one_line(source.name)} (documents: {source.documents:,})"]
    lines += _details(source.origin, source.attribution)
    texts = sorted({one_line(text) for text in provenance.attributions.get(source.key, ())})
    if texts:
        lines.append(f"  named by the records / 各记录署名: {len(texts):,}")
        lines += [f"    {text}" for text in texts]
    return "\n".join(lines)


def _details(origin: str, attribution: str) -> list[str]:
    return [f"  {one_line(text)}" for text in (attribution, origin) if text.strip()]


def _bytes(sources: list[Source]) -> int:
    return sum(source.bytes for source in sources)
