"""Commands on licences."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from qingtan.cli.options import say
from qingtan.i18n import tr

LicensedPath = Annotated[Path, typer.Argument(help="A corpus's or a model's folder, or a run's.")]


def check_licences(
    path: LicensedPath,
    use: Annotated[
        Literal["commercial", "research", "redistribute"],
        typer.Option(help="What you want to do with it."),
    ] = "redistribute",
    attribution: Annotated[
        bool, typer.Option("--attribution", help="Print only the attribution text to ship.")
    ] = False,
) -> None:
    """Say whether the licences of a corpus or model, and of the code, allow a use.

    It names what does not, and what is asked for it; --attribution prints the text to ship with
    it. Ends with status 1 where a licence does not allow it, or where it is not known. It is no
    legal advice.
    """
    from qingtan.provenance.check import check, check_code
    from qingtan.provenance.render import render, render_code

    report, code = check(path, use), check_code(use)
    say(report.attribution if attribution else f"{render(report)}\n{render_code(code)}")
    if not (report.allowed and code.allowed):
        raise typer.Exit(1)


def report_licences(
    path: LicensedPath,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; printed by default.")
    ] = None,
) -> None:
    """Write a bill of materials (CycloneDX, JSON): data sets, base models and code, licensed."""
    from qingtan.files import write_text
    from qingtan.provenance.bom import bill_of_materials

    text = bill_of_materials(path)
    if output:
        write_text(output, text)
        say(tr(f"Written to {output}", f"已写入 {output}"))
    else:
        say(text.rstrip("\n"))
