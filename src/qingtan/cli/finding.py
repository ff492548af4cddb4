"""Commands that find in knowledge bases: search, ask."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qingtan.cli.knowledge import AsJson, BaseName, VectorsBy, Where, opened, print_json
from qingtan.cli.options import Device, say
from qingtan.cli.talking import Dtype, EngineOption, Model, Threads, load_model, spoken
from qingtan.i18n import tr

if TYPE_CHECKING:
    from qingtan.knowledge.answers import Answered
    from qingtan.knowledge.retrieval import Hit
    from qingtan.knowledge.store.interface import Filter

Also = Annotated[
    list[str] | None, typer.Option("--also", metavar="BASE", help="Look into this base, too.")
]
Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="Only documents and answers of this topic.")
]
Since = Annotated[str | None, typer.Option(help="Only documents of this date or later.")]
Until = Annotated[str | None, typer.Option(help="Only documents of this date or earlier.")]


def search_knowledge(
    base: BaseName,
    query: Annotated[str, typer.Argument(help="Words, or a question.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="The most passages.")] = 5,
    also: Also = None,
    topics: Topics = None,
    since: Since = None,
    until: Until = None,
    vectors_by: VectorsBy = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Find passages, best first, each with its place and its scores."""
    from qingtan.knowledge.shown import hit_json, list_json

    with opened(where, vectors_by) as knowledge:
        hits = knowledge.search(
            (base, *(also or ())), query, limit=limit, where=_filter(topics, since, until)
        )
    if as_json:
        print_json(list_json([hit_json(hit) for hit in hits]))
    elif hits:
        _show_hits(hits)
    else:
        say(tr("Nothing found.", "没有找到。"))


def ask_knowledge(
    base: BaseName,
    question: str,
    mode: Annotated[
        Literal["search", "tutor", "law", "medicine"], typer.Option(help="What it is for.")
    ] = "search",
    passages_only: Annotated[
        bool, typer.Option("--passages-only", help="Show what was found, and no answer.")
    ] = False,
    written: Annotated[
        bool,
        typer.Option(
            "--written",
            help="Let the model write, each sentence checked; else the answer is a quotation.",
        ),
    ] = False,
    also: Also = None,
    topics: Topics = None,
    since: Since = None,
    until: Until = None,
    model: Model = "qingtan",
    device: Device = "cpu",
    dtype: Dtype = None,
    engine: EngineOption = None,
    threads: Threads = None,
    vectors_by: VectorsBy = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question from a base, with the places that say so; or say that nothing was found."""
    from qingtan.apps.answering import Answerer
    from qingtan.apps.shown import answered_json

    restriction = _filter(topics, since, until)
    with ExitStack() as stack:
        knowledge = stack.enter_context(opened(where, vectors_by))
        bases = knowledge.named((base, *(also or ())))
        chat_model = None
        if written and not passages_only:
            options = {"device": device, "dtype": dtype, "engine": engine, "threads": threads}
            chat_model = stack.enter_context(load_model(model, {}, **options))
        answerer = Answerer(chat_model, knowledge.retriever, written=chat_model is not None)
        if passages_only:
            answered = answerer.search(bases, question, where=restriction)
        else:
            answered = answerer.answer(bases, question, mode=mode, where=restriction)
    if as_json:
        print_json(answered_json(answered))
    else:
        _show_answer(answered)


def teach_from_knowledge(base: BaseName, vectors_by: VectorsBy = None, where: Where = None) -> None:
    """Learn from a base: say what you want to know, think, and reply; "提示" gives a hint.

    "答案" tells the answer, and Ctrl-D leaves.
    """
    from qingtan.apps.answering import Answerer

    with opened(where, vectors_by) as knowledge:
        bases = knowledge.named(base)
        answerer = Answerer(None, knowledge.retriever)
        state: Mapping[str, Any] = {}
        for said in spoken():
            lesson = answerer.teach(bases, said, state)
            state = lesson.state
            say(lesson.text)


def _show_answer(answered: "Answered") -> None:
    """Print an answer and the passages that it cites, or what came nearest."""
    if answered.text:
        say(answered.text)
    if answered.nearest:
        say(tr("\nWhat came nearest:", "\n最接近的内容："))
    cited = {each.passage for each in answered.sentences if each.supported}
    _show_hits(answered.nearest or answered.passages, cited)


def _show_hits(hits: "Sequence[Hit]", only: Collection[int | None] = ()) -> None:
    """Print passages with their places.

    Args:
        only: their numbers, from 1; empty, all.
    """
    for number, hit in enumerate(hits, start=1):
        if only and number not in only:
            continue
        say(f"\n[{number}] {_place(hit)}")
        scores = [f"{hit.score:.4f}"]
        scores += [tr(f"words {hit.words:.2f}", f"词 {hit.words:.2f}")] if hit.words else []
        scores += (
            [tr(f"vectors {hit.vectors:.2f}", f"向量 {hit.vectors:.2f}")] if hit.vectors else []
        )
        say("    " + tr("score ", "得分 ") + ", ".join(scores))
        for line in hit.chunk.chunk.text.splitlines():
            say(f"    {line}")


def _place(hit: "Hit") -> str:
    """Return where a passage stands: document, headings, page and paragraphs."""
    document, chunk = hit.chunk.document, hit.chunk.chunk
    first, last = chunk.first_block, chunk.last_block
    above = chunk.headings[-1] if chunk.headings else ""
    label = "" if above.startswith(chunk.label) else chunk.label
    parts = [document.name, " › ".join(filter(None, (*chunk.headings, label)))]
    if chunk.page is not None:
        parts.append(tr(f"page {chunk.page}", f"第 {chunk.page} 页"))
    blocks = f"{first}" if first == last else f"{first}–{last}"
    parts.append(tr(f"paragraph {blocks}", f"第 {blocks} 段"))
    return " · ".join(filter(None, parts))


def _filter(topics: Sequence[str] | None, since: str | None, until: str | None) -> "Filter":
    from qingtan.knowledge.store.interface import Filter

    return Filter(topics=tuple(topics or ()), since=since, until=until)
