"""Where a corpus or a model comes from: sources, licences, steps."""

from qingtan.provenance.licences import UNKNOWN_LICENCE, LicenceTable
from qingtan.provenance.record import (
    PROVENANCE_FILE,
    Provenance,
    Source,
    Step,
    merge,
    render_sources,
)

__all__ = [
    "PROVENANCE_FILE",
    "UNKNOWN_LICENCE",
    "LicenceTable",
    "Provenance",
    "Source",
    "Step",
    "merge",
    "render_sources",
]
