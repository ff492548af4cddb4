"""Commands that keep knowledge bases: create, add, list, remove, jobs, cancel, backup, restore."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qingtan.cli.options import say
from qingtan.errors import UserError
from qingtan.i18n import tr

if TYPE_CHECKING:
    from qingtan.knowledge.ingestion import Job
    from qingtan.knowledge.service import Knowledge

Where = Annotated[
    str | None,
    typer.Option(
        "--knowledge",
        metavar="FOLDER",
        help="Where the bases lie: a folder, or a postgresql:// address. By default "
        "$QINGTAN_HOME/knowledge, or a folder of your own account.",
    ),
]
VectorsBy = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        envvar="QINGTAN_VECTORS_BY",
        help="Find by nearness of meaning, too: a model that makes vectors, or MODEL@ADDRESS of a "
        "server's /v1/embeddings. For adding and for finding; words alone find well.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
BaseName = Annotated[str, typer.Argument(metavar="BASE", help="A base's name.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def create_base(
    name: Annotated[str, typer.Argument(help="The base's name.")],
    about: Annotated[str, typer.Option(help="What is in it, for people.")] = "",
    words: Annotated[
        str, typer.Option(help="The trade's own words, kept whole, between commas or spaces.")
    ] = "",
    words_file: Annotated[Path | None, typer.Option(help="The same, a word a line.")] = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Make a knowledge base."""
    from qingtan.knowledge.shown import base_json

    own = [word for word in re.split(r"[\s,，、;；]+", words) if word]
    if words_file is not None:
        own += _read_words(words_file)
    with opened(where) as knowledge:
        base = knowledge.create(name, about=about, words=own)
        if as_json:
            print_json(base_json(base))
        else:
            say(
                tr(
                    f'{name} is made; put documents in: qingtan kb add "{name}" FILES…',
                    f'已创建 {name}；加入文档：qingtan kb add "{name}" 文件…',
                )
            )


def add_documents(
    base: BaseName,
    sources: Annotated[
        list[str], typer.Argument(help="Files, folders, zip archives, or web addresses.")
    ],
    topic: Annotated[str, typer.Option(help="What they are about, for filters.")] = "",
    vectors_by: VectorsBy = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Read documents into a base: PDF, Word, Excel, PowerPoint, HTML, Markdown, text, CSV, FAQs.

    What is there already and has not changed is left as it is, and what has changed is replaced. A
    file that cannot be read is named with the reason, and the others go in. Ctrl-C stops cleanly;
    the same command goes on.
    """
    from qingtan.knowledge.shown import job_json

    with opened(where, vectors_by) as knowledge:
        try:
            with _Bar(shown=not as_json) as bar:
                job = knowledge.add(base, *sources, topic=topic, progress=bar.update)
        except KeyboardInterrupt:
            print(
                tr("Stopped; the same command goes on.", "已停止；再次运行同一命令即可继续。"),
                file=sys.stderr,
            )
            raise typer.Exit(130) from None
        if as_json:
            print_json(job_json(job))
        else:
            _report(job)
        if nothing_read(job):
            raise typer.Exit(2)


def list_knowledge(
    base: Annotated[
        str | None, typer.Argument(metavar="BASE", help="List its documents, not the bases.")
    ] = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """List the bases, or the documents of one."""
    from qingtan.knowledge.shown import base_json, document_json, list_json

    with opened(where) as knowledge:
        if base is None:
            bases = knowledge.bases()
            if as_json:
                print_json(list_json([base_json(each) for each in bases]))
                return
            for each in bases:
                counts = tr(
                    f"{each.documents} documents, {each.chunks} passages",
                    f"{each.documents} 个文档，{each.chunks} 个片段",
                )
                say("\t".join(filter(None, (each.name, counts, each.about))))
            if not bases:
                say(
                    tr(
                        "No bases yet: qingtan kb create NAME",
                        "还没有知识库：qingtan kb create 名称",
                    )
                )
            return
        documents = knowledge.documents(base)
        if as_json:
            print_json(list_json([document_json(each, base) for each in documents]))
            return
        for document in documents:
            count = tr(f"{document.chunks} passages", f"{document.chunks} 个片段")
            say("\t".join(filter(None, (document.id, document.name, count, document.topic))))


def remove_knowledge(
    base: BaseName,
    document: Annotated[
        str | None, typer.Argument(help="A document's name or id; without it the whole base.")
    ] = None,
    yes: Yes = False,
    where: Where = None,
) -> None:
    """Remove a document, or a base with everything in it."""
    with opened(where) as knowledge:
        if document is not None:
            knowledge.remove(base, document)
            say(tr(f"{document} is removed from {base}.", f"已从 {base} 删除 {document}。"))
            return
        found = knowledge.base(base)
        _confirm(
            tr(
                f"Remove {base} and its {found.documents} documents for good?",
                f"彻底删除 {base} 及其 {found.documents} 个文档？",
            ),
            yes,
        )
        knowledge.remove(base)
        say(tr(f"{base} is removed.", f"已删除 {base}。"))


def list_jobs(base: BaseName, where: Where = None, as_json: AsJson = False) -> None:
    """List what is being read into a base or was, the latest first."""
    from qingtan.knowledge.shown import job_json, list_json

    with opened(where) as knowledge:
        jobs = knowledge.jobs(base)
        if as_json:
            print_json(list_json([job_json(job) for job in jobs]))
            return
        for job in jobs:
            say("\t".join((job.id, job.created, job.state, f"{job.done}/{job.total}")))
        if not jobs:
            say(tr("No jobs.", "没有任务。"))


def cancel_job(
    base: BaseName,
    job: Annotated[str, typer.Argument(help="A job's id, as `qingtan kb jobs` lists it.")],
    where: Where = None,
) -> None:
    """Cancel a job; what is in the base by now stays there."""
    with opened(where) as knowledge:
        knowledge.cancel(base, job)
        say(tr(f"{job} is cancelled.", f"已取消 {job}。"))


def backup_knowledge(
    file: Annotated[Path, typer.Argument(help="The file to write.")], where: Where = None
) -> None:
    """Write all bases into one file, while they are in use."""
    with opened(where) as knowledge:
        knowledge.backup(file)
        say(tr(f"Everything is in {file}.", f"已备份到 {file}。"))


def restore_knowledge(
    file: Annotated[Path, typer.Argument(help="A file that `qingtan kb backup` has written.")],
    yes: Yes = False,
    where: Where = None,
) -> None:
    """Put everything back as it was at a backup; what came later is gone."""
    from qingtan.knowledge.service import Knowledge

    _confirm(
        tr(
            f"Replace all bases by what is in {file}?",
            f"用 {file} 的内容替换现有全部知识库？",
        ),
        yes,
    )
    Knowledge.restore(file, where)
    say(tr(f"Everything is as it was in {file}.", f"已恢复为 {file} 的内容。"))


@contextmanager
def opened(where: str | None, vectors_by: str | None = None) -> "Iterator[Knowledge]":
    """Open the bases for a command."""
    from qingtan.apps.encoding import open_encoder
    from qingtan.knowledge.service import Knowledge

    with open_encoder(vectors_by) as encoder, Knowledge.open(where, encoder=encoder) as knowledge:
        yield knowledge


def print_json(value: Any) -> None:
    """Print a value for programs."""
    say(json.dumps(value, ensure_ascii=False, indent=2))


def nothing_read(job: "Job") -> bool:
    """Return whether a job has put nothing into its base, and found nothing there already."""
    return all(line.outcome in ("failed", "cancelled") for line in job.report)


def _report(job: "Job") -> None:
    """Print a line for each file that could not be read, or not wholly, and a summary."""
    for line in job.report:
        if line.outcome == "failed":
            print(f"{line.name}: {line.reason}", file=sys.stderr)
        for warning in line.warnings:
            print(f"{line.name}: {warning}", file=sys.stderr)
    counts = {name: sum(line.outcome == name for line in job.report) for name in _OUTCOMES()}
    told = ", ".join(f"{text} {counts[name]}" for name, text in _OUTCOMES().items() if counts[name])
    say(told or tr("nothing was there to read", "没有可读取的文件"))


def _OUTCOMES() -> dict[str, str]:  # noqa: N802
    return {
        "added": tr("added", "新增"),
        "replaced": tr("replaced", "更新"),
        "unchanged": tr("unchanged", "未变"),
        "failed": tr("could not be read", "无法读取"),
        "cancelled": tr("not done", "未处理"),
    }


class _Bar:
    """A bar that follows a job, where somebody looks at it."""

    def __init__(self, shown: bool) -> None:
        from tqdm import tqdm

        self._bar = tqdm(unit=tr(" files", " 个文件"), disable=not shown or None, leave=False)

    def update(self, job: "Job") -> None:
        """Show how far a job is."""
        self._bar.total = job.total
        self._bar.n = job.done
        self._bar.refresh()

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()


def _read_words(file: Path) -> Sequence[str]:
    try:
        return [word for line in file.read_text("utf-8").splitlines() if (word := line.strip())]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(tr(f"{file}: {error}", f"{file}：{error}")) from None


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(tr(f"{question} Say so with --yes.", f"{question} 请加 --yes 确认。"))
    typer.confirm(question, abort=True)
