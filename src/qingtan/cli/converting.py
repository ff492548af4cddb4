"""The command that makes a model smaller."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qingtan.cli.options import Force, say
from qingtan.i18n import tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qingtan.corpus.documents import Document
    from qingtan.engine.convert import Converted

Packed = Literal["int4", "int8", "bf16"]
_MEASURED_TOKENS = 16_384


def convert(
    model: Annotated[str, typer.Argument(help="A built-in model's name, or a checkpoint.")],
    folder: Annotated[Path, typer.Argument(help="The checkpoint's folder to make.")],
    to: Annotated[Packed, typer.Option(help="How the layers' matrices are stored.")],
    head: Annotated[
        Packed | None,
        typer.Option(help="The embedding and the head; by default bf16 beside bf16, else int8."),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Text or conversations by which int4 and int8 round."),
    ] = None,
    calibration_tokens: Annotated[
        int, typer.Option(min=1, help="The most tokens of them; more are slower.")
    ] = 32_768,
    text: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Text to measure the cost on; by default --calibrate's."),
    ] = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="The folder of an evaluation's files, whose tasks are asked before and after.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="The most items of a task; 0 is all.")] = 100,
    force: Force = False,
) -> None:
    """Round a model's weights, so that it takes less memory and answers faster on a CPU.

    The new checkpoint is opened at once, however large it is: it is read as it lies on the disk.

    With --calibrate, which may stand several times, the matrices make up for each other's rounding
    (GPTQ). That takes a minute or two for the built-in model, minutes for one of 100 million
    parameters, and hours for one of six billion. Of eight documents one is left out, to measure
    what the conversion cost; of fewer than eight all of them serve for both.
    """
    from qingtan.cli.comparing import compare_predictions, compare_tasks
    from qingtan.engine.convert import convert as run
    from qingtan.glm.catalogue import find_model

    source = find_model(model)
    calibration, measured = _read_texts(source, calibrate, text, calibration_tokens)
    made = run(source, folder, to, head=head, calibration=calibration, replace=force)
    _say_made(made)
    if measured:
        compare_predictions(source, folder, measured)
    else:
        say(tr("  --text FILE measures what it cost", "  加上 --text 文件 可测量转换的代价"))
    if evaluate:
        compare_tasks(model, folder, evaluate, limit)


def _read_texts(
    source: Path, calibrate: list[Path] | None, text: list[Path] | None, calibration_tokens: int
) -> "tuple[list[Sequence[int]] | None, Sequence[Document]]":
    """Return what to calibrate with, if anything, and what to measure on."""
    if not (calibrate or text):
        return None, ()
    # Reading texts takes packages that converting can do without.
    from qingtan.cli.texts import hold_back, read_documents
    from qingtan.glm.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(source)
    sequences: list[Sequence[int]] | None = None
    measured: Sequence[Document] = ()
    if calibrate:
        kept, measured = hold_back(read_documents(calibrate, tokenizer, calibration_tokens))
        sequences = [document.tokens for document in kept]
    if text:
        measured = read_documents(text, tokenizer, _MEASURED_TOKENS)
    return sequences, measured


def _say_made(made: "Converted") -> None:
    before, after = (f"{size / 1e6:,.1f} MB" for size in (made.bytes_before, made.bytes_after))
    share = f"{100 * made.bytes_after / made.bytes_before:.0f}%"
    layers, tables = made.quantization.precision, made.quantization.head
    say(tr(f"The model is in {made.folder}", f"模型已写入 {made.folder}"))
    say(tr(f"  layers  {layers}", f"  各层    {layers}"))
    say(tr(f"  head    {tables}", f"  输出头  {tables}"))
    say(tr(f"  size    {before} → {after} ({share})", f"  大小    {before} → {after}（{share}）"))
