"""Where a corpus or a model comes from: sources, base models, licences, steps.

`check` and `render` say what the licences ask of a use, `credits` makes the text that names the
authors, `bom` the bill of materials.
"""

from qingtan.provenance.attributions import ATTRIBUTIONS_FILE, Attributions, join_attributions
from qingtan.provenance.licences import LicenceTable
from qingtan.provenance.models import checkpoint_provenance
from qingtan.provenance.record import (
    PROVENANCE_FILE,
    ModelSource,
    Provenance,
    Source,
    Step,
    merge,
    render_sources,
)
from qingtan.provenance.spdx import UNKNOWN_LICENCE

__all__ = [
    "ATTRIBUTIONS_FILE",
    "PROVENANCE_FILE",
    "UNKNOWN_LICENCE",
    "Attributions",
    "LicenceTable",
    "ModelSource",
    "Provenance",
    "Source",
    "Step",
    "checkpoint_provenance",
    "join_attributions",
    "merge",
    "render_sources",
]
