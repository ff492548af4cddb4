"""Builds a corpus: all sources of a recipe, stage by stage, in several processes."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from tqdm import tqdm

from qingtan.corpus.pipeline.assemble import Assembly
from qingtan.corpus.pipeline.clean import (
    Done,
    RawSource,
    clean_piece,
    index_evaluation,
    read_pieces,
)
from qingtan.corpus.pipeline.deduplicate import Numbering, find_duplicates
from qingtan.corpus.pipeline.encode import DOCUMENTS_FOLDER, clean_pieces, encode_piece
from qingtan.corpus.pipeline.engines import Engine, EngineName, make_engine
from qingtan.corpus.pipeline.plan import PIECE_BYTES, Work, fingerprint, input_files
from qingtan.corpus.pipeline.vocabulary import learn_vocabulary
from qingtan.corpus.pipeline.workspace import workspace
from qingtan.corpus.recipe import CorpusRecipe
from qingtan.corpus.report import write_report
from qingtan.corpus.report.write import JSON_FILE
from qingtan.corpus.shards import INDEX_FILE
from qingtan.corpus.statistics import CorpusReport
from qingtan.corpus.summary import print_corpus
from qingtan.errors import UserError
from qingtan.files import write_json, write_text
from qingtan.glm.tokenizer import TOKENIZER_FILE, GLMTokenizer
from qingtan.i18n import tr
from qingtan.provenance import LicenceTable, Provenance, Step, merge
from qingtan.provenance.record import qingtan_version

TIMINGS_FILE = "timings.json"
# A share of bad records means something once so many are read.
ENOUGH_RECORDS = 1000


def build_corpus(
    recipe: CorpusRecipe,
    workers: int | None = None,
    force: bool = False,
    engine: EngineName = "local",
) -> Path:
    """Turn a recipe's records into clean documents, a vocabulary and shards, and print a summary.

    The same recipe and files give the same bytes, whatever the engine and the number of workers,
    and however often the build was stopped: the same call goes on from what is done. The folder
    holds the shards with `corpus.json` and `tokenizer.model`, `documents/` where the recipe asks
    for it, `report.html` and `report.json`, `provenance.json`, `rejected.jsonl` with the records
    that could not be used, and `timings.json`. A script that calls this with several workers
    needs the usual `if __name__ == "__main__":`, for they import it anew.

    Args:
        workers: processes; as many as cores by default.
        force: replace an earlier corpus at the recipe's output.
        engine: "local" for processes of this machine, "ray" for a Ray cluster, whose nodes must
            see the files under the same paths.

    Returns:
        The folder.

    Raises:
        UserError: the output exists, a file is missing or cannot be read, or too many records of
            a source cannot be used. Nothing is left at the output then.
    """
    files = input_files(recipe)
    if recipe.licences:
        LicenceTable.read(recipe.licences)
    mark = fingerprint(recipe, files, qingtan_version(), PIECE_BYTES)
    with workspace(recipe.output, JSON_FILE, mark, force) as work:
        work.write_recipe(recipe)
        with closing(make_engine(engine, workers or os.cpu_count() or 1)) as chosen:
            report = _Build(recipe, work, chosen, workers).run()
    print_corpus(recipe.output, report)
    return recipe.output


class _Build:
    """The stages of a build; each finds what an earlier run of it has done."""

    def __init__(
        self, recipe: CorpusRecipe, work: Work, engine: Engine, workers: int | None
    ) -> None:
        self._recipe, self._work, self._engine, self._workers = recipe, work, engine, workers
        self._seconds: dict[str, float] = {}

    def run(self) -> CorpusReport:
        with self._stage("clean"):
            self._clean()
        numbering = Numbering.of(self._work)
        with self._stage("duplicates"):
            self._find_duplicates(numbering)
        with self._stage("vocabulary"):
            tokenizer = self._tokenizer(numbering)
        with self._stage("encode"):
            self._encode(numbering)
        with self._stage("shards"):
            report = self._assemble(Assembly(self._recipe, self._work, numbering), tokenizer)
        write_json(self._work.result / TIMINGS_FILE, self._seconds)
        # The last of them: it makes the folder a corpus that a later build may replace.
        write_report(report, self._work.result, self._recipe.output.name)
        return report

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self._seconds[name] = round(time.monotonic() - start, 3)

    def _clean(self) -> None:
        index_evaluation(self._recipe, self._work)
        sources = [RawSource(self._work.folder, i) for i in range(len(self._recipe.source))]
        read = partial(read_pieces, piece_bytes=PIECE_BYTES)
        done = self._engine.run(sources, read, clean_piece)
        rejections = _Rejections(self._recipe)
        for piece in _progress(done, tr("cleaning", "清洗")):
            rejections.add(piece)

    def _find_duplicates(self, numbering: Numbering) -> None:
        def run_map(work: Callable[[Path], Path], paths: Iterable[Path]) -> Iterable[Path]:
            return self._engine.run([list(paths)], list, work)

        find_duplicates(self._recipe, self._work, numbering, run_map)

    def _tokenizer(self, numbering: Numbering) -> GLMTokenizer | None:
        path = self._work.folder / TOKENIZER_FILE
        if self._recipe.tokenizer:
            shutil.copyfile(self._recipe.tokenizer, path)
        elif self._recipe.vocabulary and not path.is_file():
            threads = self._workers or os.cpu_count() or 1
            learn_vocabulary(self._recipe, self._work, numbering, path, threads)
        return GLMTokenizer.from_file(path) if path.is_file() else None

    def _encode(self, numbering: Numbering) -> None:
        if self._recipe.documents:
            (self._work.result / DOCUMENTS_FOLDER).mkdir(exist_ok=True)
        pieces = clean_pieces(self._work, numbering)
        done = self._engine.run([pieces], list, encode_piece)
        for _ in _progress(done, tr("encoding", "编码"), sum(piece.documents for piece in pieces)):
            pass

    def _assemble(self, assembly: Assembly, tokenizer: GLMTokenizer | None) -> CorpusReport:
        report, result = assembly.report(), self._work.result
        _Rejections(self._recipe).check(report, assembly)
        details: dict[str, str | int | float] = {}
        if tokenizer:
            index = assembly.index(report, tokenizer)
            report.vocab_size, report.shards = index.vocab_size, len(index.shards)
            write_text(result / INDEX_FILE, index.model_dump_json(indent=2) + "\n")
            tokenizer.save(result)
            details["vocab_size"] = index.vocab_size
            details["tokenizer_sha256"] = index.tokenizer_sha256
        assembly.join_rejected()
        origins = [assembly.origins(number) for number in range(len(self._recipe.source))]
        records = [Provenance(sources=sources) for sources in origins]
        provenance = merge(records).with_attributions(assembly.attributions())
        provenance.with_step(Step.now("corpus", **details)).write(result)
        return report


class _Rejections:
    """Stops a build of which too many records cannot be used."""

    def __init__(self, recipe: CorpusRecipe) -> None:
        self._recipe = recipe
        self._read = [0] * len(recipe.source)
        self._rejected = [0] * len(recipe.source)

    def add(self, done: Done) -> None:
        """Count a piece, and judge its source once enough of it is read.

        Raises:
            UserError: too many records of the source are rejected already.
        """
        source = done.piece.source
        self._read[source] += done.documents + done.rejected
        self._rejected[source] += done.rejected
        if self._read[source] >= ENOUGH_RECORDS:
            self._judge(source, self._rejected[source], self._read[source], done.first_rejected)

    def check(self, report: CorpusReport, assembly: Assembly) -> None:
        """Judge all sources at the end.

        Raises:
            UserError: too many records of a source are rejected; the first is named.
        """
        for number, source in enumerate(report.sources):
            read = source.read.documents + source.rejected
            self._judge(number, source.rejected, read, assembly.first_rejected(number))

    def _judge(self, number: int, rejected: int, read: int, example: str | None) -> None:
        if rejected > self._recipe.max_rejected_share * read:
            source = self._recipe.source[number]
            raise UserError(
                f"{source.location(self._recipe.root)}: {rejected} of {read} records cannot be "
                f"used, more than max_rejected_share = {self._recipe.max_rejected_share}; such as "
                f"{example}"
            )


def _progress(done: Iterable[Done], name: str, total: int | None = None) -> Iterator[Done]:
    """Show how far a stage is, and how long it will take where `total` documents are known."""
    start, size, unit = time.monotonic(), 0, tr(" documents", " 篇")
    with tqdm(desc=name, total=total, unit=unit, unit_scale=True, disable=None) as bar:
        for piece in done:
            size += piece.bytes
            rate = size / 1e6 / max(time.monotonic() - start, 1e-9)
            bar.set_postfix_str(f"{size / 1e6:,.0f} MB, {rate:,.1f} MB/s", refresh=False)
            bar.update(piece.documents)
            yield piece
