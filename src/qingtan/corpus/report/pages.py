"""What the pages of all reports share: their frame, `page.html`, and how they are rendered."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

from qingtan.corpus.report import formats
from qingtan.corpus.report.excerpts import visible
from qingtan.corpus.report.labels import both
from qingtan.i18n import language


def page_environment(room: str, *others: str) -> Environment:
    """Return an environment with a room's templates, and those of the rooms whose look it shares.

    Whatever a page shows is escaped, and a value that it lacks is an error. The caller may add
    filters and globals.

    Args:
        room: whose page it is, such as "training"; its templates go by their own names.
        others: rooms that lend it templates, beside the corpus's; theirs and the corpus's go by
            the room and the name, as `corpus/page.html`.
    """
    lent = {name: PackageLoader(f"qingtan.{name}.report") for name in ("corpus", *others)}
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(f"qingtan.{room}.report"), PrefixLoader(lent)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=formats.format_count,
        size=formats.format_size,
        value=formats.format_value,
        visible=visible,
    )
    environment.globals.update(t=both, language=language)
    return environment
