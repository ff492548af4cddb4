"""The command that says how good a model is."""

from pathlib import Path
from typing import Annotated

import typer

from qingtan.cli.options import Device, Force, Temperature, say
from qingtan.errors import UserError
from qingtan.i18n import tr


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A built-in model's name, or a checkpoint; or knowledge: answers over documents."
        ),
    ],
    data: Annotated[Path, typer.Option(help="The folder of the evaluation's files.")] = Path(
        "../shared/data/eval"
    ),
    tasks: Annotated[
        str, typer.Option(help="Names with commas between them, such as reading,law; all.")
    ] = "",
    limit: Annotated[int, typer.Option(help="The most items of a task; 0 is all.")] = 300,
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus whose held-out text is measured too.")
    ] = None,
    held_out_tokens: Annotated[
        int, typer.Option(help="Held-out tokens of each of its sources.")
    ] = 20_000,
    known: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Text that poems must not copy; as often as you like."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder of the results; by default runs/evaluation/MODEL."),
    ] = None,
    temperature: Temperature = None,
    top_p: Annotated[
        float | None, typer.Option(help="Instead of the model's default, like the next.")
    ] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="1 is none.")] = None,
    no_repeat_ngram_size: Annotated[int | None, typer.Option(help="0 is none.")] = None,
    written_by: Annotated[
        str, typer.Option(help="With knowledge: a model, whose words are put beside quotations.")
    ] = "",
    vectors_by: Annotated[
        str, typer.Option(help="With knowledge: a model, whose vectors are put beside words.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Chooses the items; that of the sampling.")] = 0,
    slots: Annotated[int, typer.Option(help="The most answers at once.")] = 16,
    device: Device = "cpu",
    force: Force = False,
) -> None:
    """Ask a model the tasks' questions, and say how good it is, beside trivial baselines.

    Ctrl-C keeps the answers; the same command goes on. --temperature and the
    options after it try other decoding than the model's default.

    With "knowledge" it says how well questions on documents are answered: found, quoted, refused,
    and checked. Of the options --data, --limit, --seed, --output and --force count, and the two
    for knowledge.
    """
    if model == "knowledge":
        from qingtan.evaluation.knowledge.run import Settings as KnowledgeSettings
        from qingtan.evaluation.knowledge.run import evaluate_knowledge

        wanted = KnowledgeSettings(data, limit, seed, written_by, vectors_by)
        evaluate_knowledge(wanted, output, force=force)
        return
    if written_by or vectors_by:
        option = "--written-by" if written_by else "--vectors-by"
        raise UserError(
            tr(f"{option}: goes with knowledge only", f"{option}：只能与 knowledge 一起使用")
        )
    from qingtan.evaluation.run import Settings
    from qingtan.evaluation.run import evaluate as run

    settings = Settings(
        data=data,
        tasks=tuple(name.strip() for name in tasks.split(",") if name.strip()),
        limit=limit,
        seed=seed,
        known=tuple(known or ()),
        corpus=corpus,
        held_out_tokens=held_out_tokens,
        temperature=temperature,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram_size=no_repeat_ngram_size,
        device=device,
        slots=slots,
    )
    try:
        run(model, settings, output, force=force)
    except KeyboardInterrupt:
        say(
            tr(
                "Stopped; the same command goes on, without --force.",
                "已停止；同一命令可继续（不要加 --force）。",
            )
        )
        raise typer.Exit(130) from None
