"""Commands that make things: corpora, models, adapters, and what a teacher knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qingtan.cli.options import Device, Force, Overrides, RecipeFile, say
from qingtan.errors import UserError
from qingtan.i18n import tr

if TYPE_CHECKING:
    from qingtan.training.export import Evaluated


def build_corpus(
    recipe: RecipeFile,
    overrides: Overrides = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores by default.")] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Ray: the cluster named by RAY_ADDRESS.")
    ] = "local",
    force: Force = False,
) -> None:
    """Clean text, drop duplicates, and turn the rest into shards of tokens, with a report.

    Stopped or killed, the same command goes on from where it was.
    """
    from qingtan.corpus.build import build_corpus as build
    from qingtan.corpus.recipe import CorpusRecipe
    from qingtan.recipe import load_recipe

    loaded = load_recipe(recipe, CorpusRecipe, overrides or ())
    with _going_on():
        build(loaded, workers=workers, force=force, engine=engine)


def train(
    recipe: RecipeFile,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint of this run.")
    ] = False,
) -> None:
    """Train a model: pretraining, fine-tuning, adapters, preferences, distillation, an encoder.

    Ctrl-C saves a checkpoint; the same command with --resume goes on as if nothing had happened.
    On several devices: torchrun --nproc-per-node 4 -m qingtan train RECIPE.
    """
    from qingtan.recipe import load_recipe
    from qingtan.training.recipe import TrainRecipe
    from qingtan.training.trainer import Interrupted
    from qingtan.training.trainer import train as run

    try:
        run(load_recipe(recipe, TrainRecipe, overrides or ()), resume=resume)
    except Interrupted as stopped:
        say(
            tr(
                f"Stopped and saved: {stopped}. Go on with --resume.",
                f"已保存并停止：{stopped}。加上 --resume 可继续。",
            )
        )
        raise typer.Exit(130) from None


def export(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    folder: Annotated[Path, typer.Argument(help="The checkpoint's folder to make.")],
    about: Annotated[
        Path | None, typer.Option(help="A folder with about.md and about.zh-CN.md for the cards.")
    ] = None,
    layout: Annotated[str, typer.Option(help="glm (transformers) or chatglm.")] = "glm",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "bfloat16",
    temperature: Annotated[
        float, typer.Option(help="The model's default; 0 picks the likeliest token always.")
    ] = 0.8,
    top_p: Annotated[
        float, typer.Option(help="The model's default; 1 keeps all tokens in sampling.")
    ] = 0.8,
    repetition_penalty: Annotated[
        float, typer.Option(help="The model's default; 1 is none.")
    ] = 1.0,
    no_repeat_ngram_size: Annotated[
        int, typer.Option(help="The model's default; no run of so many tokens twice, 0 is none.")
    ] = 0,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="For the cards: the folder of an evaluation of this very model."),
    ] = None,
    evaluation_tokens: Annotated[
        int, typer.Option(help="Validation tokens of each source to measure on.")
    ] = 20_000,
    force: Force = False,
) -> None:
    """Write a run's model as a checkpoint, measured, with card and provenance."""
    from qingtan.training.export import Decoding
    from qingtan.training.export import export as write

    write(
        run,
        folder,
        about=about,
        layout=layout,
        dtype=dtype,
        decoding=Decoding(temperature, top_p, repetition_penalty, no_repeat_ngram_size),
        evaluated=_read_evaluation(evaluation) if evaluation else None,
        evaluation_tokens=evaluation_tokens,
        replace=force,
    )


def distill_logits(
    recipe: Annotated[Path, typer.Argument(help="The student's recipe, with distillation.logits.")],
    teacher: Annotated[Path, typer.Argument(help="A checkpoint with the corpus's tokenizer.")],
    overrides: Overrides = None,
    draws: Annotated[int, typer.Option(help="Tokens drawn in each place.")] = 50,
    proposal_temperature: Annotated[
        float, typer.Option(help="Draw from a softer distribution, and weight back; 1 is none.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    device: Device = "cpu",
) -> None:
    """Run a teacher over a student's documents once, and keep samples of its distributions.

    They go into the folder that the recipe names as distillation.logits; the student then needs
    no teacher beside it. Stopped or killed, the same command goes on.
    """
    from qingtan.recipe import load_recipe
    from qingtan.training.distillation.write_logits import write_logits
    from qingtan.training.recipe import TrainRecipe

    loaded = load_recipe(recipe, TrainRecipe, overrides or ())
    table = loaded.distillation
    if table is None or table.logits is None:
        raise UserError(f"{recipe}: distillation.logits: name the folder that is to be made")
    with _going_on():
        write_logits(
            teacher,
            loaded.data.corpus,
            table.logits,
            sources=loaded.data.sources,
            sequence_length=loaded.data.sequence_length,
            draws=draws,
            proposal_temperature=proposal_temperature,
            seed=seed,
            device=device,
        )


def distill_answers(
    questions: Annotated[Path, typer.Argument(help='JSON Lines of {"prompt"} or {"messages"}.')],
    output: Annotated[Path, typer.Argument(help="The .jsonl file of conversations to make.")],
    teacher: Annotated[
        str, typer.Option(help="A model's name or folder, or the http address of an OpenAI API.")
    ],
    licence: Annotated[str, typer.Option(help="Of the answers: SPDX, or LicenseRef-….")],
    name: Annotated[str, typer.Option(help="Of the model, where the teacher is an API.")] = "",
    source: Annotated[str, typer.Option(help="What the answers are called in a corpus.")] = (
        "teacher"
    ),
    samples: Annotated[int, typer.Option(help="Answers to each; the best agreed one is kept.")] = 1,
    temperature: Annotated[float, typer.Option(help="Of the sampling.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(help="The most of an answer.")] = 512,
    min_agreement: Annotated[
        float, typer.Option(help="Drop questions whose answers agree less, from 0 to 1.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    device: Device = "cpu",
) -> None:
    """Ask a teacher of any kind, filter its answers, and write them as conversations.

    A key for the API is read from OPENAI_API_KEY. Stopped or killed, the same command goes on.
    """
    from contextlib import ExitStack

    from qingtan.training.distillation.answer_filters import AnswerFilters
    from qingtan.training.distillation.answers import write_answers
    from qingtan.training.distillation.teachers import ApiTeacher, LocalTeacher

    with ExitStack() as stack, _going_on():
        if teacher.startswith(("http://", "https://")):
            if not name:
                raise UserError("--name: say which of the API's models is the teacher")
            asked: ApiTeacher | LocalTeacher = ApiTeacher(teacher, name)
        else:
            asked = stack.enter_context(LocalTeacher(teacher, device=device))
        write_answers(
            asked,
            questions,
            output,
            source=source,
            licence=licence,
            samples=samples,
            temperature=temperature,
            max_tokens=max_tokens,
            seed=seed,
            filters=AnswerFilters(min_agreement=min_agreement),
        )


@contextmanager
def _going_on() -> Iterator[None]:
    """Say after Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        say(tr("Stopped; the same command goes on.", "已停止；同一命令可继续。"))
        raise typer.Exit(130) from None


def _read_evaluation(folder: Path) -> "Evaluated":
    from qingtan.evaluation.report import render_evaluation
    from qingtan.evaluation.results import RESULTS_FILE, Results
    from qingtan.training.card import CARD_FILES
    from qingtan.training.export import Evaluated

    results = Results.read(folder)
    sections = {language: render_evaluation(results, language) for language in CARD_FILES}
    return Evaluated(results.weights_sha256, folder / RESULTS_FILE, sections)
