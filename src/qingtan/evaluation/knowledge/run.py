"""An evaluation of knowledge from its beginning to its report."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.chat import ChatGLM
from qingtan.engine.events import ContextExceeded
from qingtan.errors import UserError
from qingtan.evaluation.items import choose
from qingtan.evaluation.knowledge import measure
from qingtan.evaluation.knowledge.claims import make_claims
from qingtan.evaluation.knowledge.measure import Asked
from qingtan.evaluation.knowledge.questions import Part, Question, ReadingSet, part_of, read_sets
from qingtan.evaluation.knowledge.report import write_report
from qingtan.evaluation.knowledge.results import Kind, KnowledgeResults, Point, Speed, Threshold
from qingtan.evaluation.results import RESULTS_FILE, Figure, TaskResult
from qingtan.evaluation.summary import print_figures
from qingtan.glm.catalogue import find_model
from qingtan.glm.tokenizer import load_tokenizer
from qingtan.i18n import tr
from qingtan.knowledge.answers import Write
from qingtan.knowledge.documents import Document
from qingtan.knowledge.encoders import GLMEncoder
from qingtan.knowledge.evidence import LEAST_SUPPORT
from qingtan.knowledge.retrieval import Retriever
from qingtan.knowledge.store import open_store
from qingtan.knowledge.store.interface import Base, Store
from qingtan.knowledge.sufficiency import LEAST_EVIDENCE
from qingtan.provenance import Step

OUTPUT_FOLDER = Path("runs/evaluation/knowledge")
_KINDS = {
    "reading": ("questions on texts", "文本问答"),
    "law": ("questions on laws", "法条问答"),
    "cards": ("questions on shops' cards", "商户信息问答"),
}
_ANSWER_TOKENS = 128
_MOST_CLAIMS = 600  # questions that claims are made of


@dataclass(frozen=True, slots=True)
class Settings:
    """What is evaluated.

    Attributes:
        data: the folder of the evaluation's files.
        limit: the most questions of each kind and part; 0 is all.
        seed: chooses them.
        written_by: a model's name or folder, whose own words are measured beside quotations.
        vectors_by: a model's, whose vectors are joined with words, and measured beside words alone.

    Raises:
        UserError: a number is out of range.
    """

    data: Path
    limit: int = 300
    seed: int = 0
    written_by: str = ""
    vectors_by: str = ""

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError(f"limit: {self.limit} is less than 0")


def evaluate_knowledge(
    settings: Settings, output: Path | None = None, *, force: bool = False
) -> KnowledgeResults:
    """Evaluate finding, answering, refusing and checking, and write results and report.

    Args:
        output: the folder; by default runs/evaluation/knowledge.
        force: replace an earlier result.

    Raises:
        UserError: a file is missing or damaged, or the folder holds an earlier result.
    """
    begun, folder = time.monotonic(), Path(output or OUTPUT_FOLDER)
    if (folder / RESULTS_FILE).exists() and not force:
        raise UserError(f"{folder}: holds results; name another folder, or replace with --force")
    sets = read_sets(settings.data)
    with _writer(settings.written_by) as write, tempfile.TemporaryDirectory() as place:
        store = open_store(Path(place) / "knowledge.db")
        try:
            found = _Evaluation(settings, sets, store, write).run()
        finally:
            store.close()
    now = Step.now("evaluate")
    results = KnowledgeResults(
        version=now.version,
        date=now.date,
        seconds=round(time.monotonic() - begun, 1),
        limit=settings.limit,
        written_by=settings.written_by,
        vectors_by=settings.vectors_by,
        tasks=found.tasks,
        thresholds=found.thresholds,
        curve=found.curve,
        kinds=found.kinds,
        speed=found.speed,
    )
    results.write(folder)
    pages = write_report(results, folder)
    print_figures(results.tasks, [folder, *pages])
    return results


@contextmanager
def _writer(name: str) -> Iterator[Write | None]:
    """Yield what asks a model, None without one."""
    if not name:
        yield None
        return
    with ChatGLM.from_pretrained(name) as model:

        def write(prompt: str) -> str:
            try:
                return model.chat(prompt, temperature=0.0, max_tokens=_ANSWER_TOKENS)
            except ContextExceeded:
                return ""

        yield write


@dataclass(frozen=True, slots=True)
class _Found:
    """What is measured, as in `KnowledgeResults`."""

    tasks: tuple[TaskResult, ...]
    thresholds: tuple[Threshold, ...]
    curve: tuple[Point, ...]
    kinds: tuple[Kind, ...]
    speed: Speed


class _Evaluation:
    def __init__(
        self, settings: Settings, sets: ReadingSet, store: Store, write: Write | None
    ) -> None:
        self._settings = settings
        self._sets = sets
        self._store = store
        self._write = write
        self._retriever = Retriever(store)
        tokenizer = load_tokenizer(find_model("qingtan"))
        self._measure: Callable[[str], int] = lambda text: len(tokenizer.encode(text))

    def run(self) -> _Found:
        """Measure all."""
        _tell(tr("All documents: finding", "全部文档：检索"))
        base, chunks, seconds = self._index("all", self._sets.documents.values())
        asked = {kind: self._ask(base, self._of(kind)) for kind in _KINDS}
        everything = [each for found in asked.values() for each in found]
        documents = len(self._sets.documents)
        speed = measure.speed(everything, documents, chunks, seconds)
        tasks = [
            _task(kind, "finding", "检索", measure.measure_finding(found), len(found))
            for kind, found in asked.items()
        ]
        if self._settings.vectors_by:
            tasks.append(self._vectors(asked["reading"]))
        _tell(tr("Half of the documents: answers", "一半文档：回答"))
        kept = (d for name, d in self._sets.documents.items() if "absent" not in part_of(name))
        base, _, _ = self._index("half", kept)
        for kind in _KINDS:
            tasks += self._answers(base, kind)
        evidence, curve = self._evidence(base)
        _tell(tr("Claims: checking", "陈述：核查"))
        support, kinds = self._claims()
        return _Found(tuple(tasks), (evidence, support), curve, kinds, speed)

    def _vectors(self, by_words: Sequence[Asked]) -> TaskResult:
        """Find the questions on texts again, among these texts, with vectors and without."""
        _tell(tr("Texts: finding with vectors", "文本：向量检索"))
        names = {each.document for each in self._sets.questions if each.kind == "reading"}
        documents = [self._sets.documents[name] for name in sorted(names)]
        questions = [each.question for each in by_words]
        with ChatGLM.from_pretrained(self._settings.vectors_by) as model:
            encoder = GLMEncoder(model.embed, self._settings.vectors_by)
            base, _, _ = self._index("vectors", documents, encoder)
            found = measure.ask(Retriever(self._store, encoder), base, questions)
        alone = self._ask(base, questions)
        figures = measure.measure_finding(found, alone)
        return _task("reading", "finding with vectors", "加向量检索", figures, len(found))

    def _index(
        self, name: str, documents: Iterable[Document], encoder: GLMEncoder | None = None
    ) -> tuple[Base, int, float]:
        base = self._store.create_base("evaluation", name)
        begun = time.perf_counter()
        count = measure.index(self._store, base, documents, self._measure, encoder)
        return self._store.base("evaluation", name), count, time.perf_counter() - begun

    def _ask(self, base: Base, questions: Sequence[Question]) -> list[Asked]:
        return measure.ask(self._retriever, base, questions)

    def _of(self, kind: str, part: Part | None = None) -> list[Question]:
        """Return the questions that are asked of a kind, and of a part."""
        found = [
            each
            for each in self._sets.questions
            if each.kind == kind and (part is None or each.part == part)
        ]
        chosen = choose(
            [{"id": each.id} for each in found], self._settings.limit, self._settings.seed
        )
        wanted = {item["id"] for item in chosen}
        return [each for each in found if each.id in wanted]

    def _answers(self, base: Base, kind: str) -> list[TaskResult]:
        present = self._ask(base, self._of(kind, "reporting"))
        absent = self._ask(base, self._of(kind, "reporting-absent"))
        answers = measure.measure_answers(present, LEAST_EVIDENCE, self._write)
        refusals = measure.measure_refusals(absent, LEAST_EVIDENCE)
        return [
            _task(kind, "answering", "回答", answers, len(present)),
            _task(kind, "refusing", "拒答", refusals, len(absent)),
        ]

    def _evidence(self, base: Base) -> tuple[Threshold, tuple[Point, ...]]:
        """Return the threshold of evidence, by questions on texts, and its curve."""
        have = self._ask(base, self._of("reading", "calibrating"))
        calibrated = measure.lenient_threshold(_evidence(have))
        threshold = Threshold(name="evidence", calibrated=calibrated, used=LEAST_EVIDENCE)
        parts: tuple[Part, ...] = ("reporting", "reporting-absent")
        have, lack = (self._ask(base, self._of("reading", part)) for part in parts)
        return threshold, measure.curve(have, lack)

    def _claims(self) -> tuple[Threshold, tuple[Kind, ...]]:
        """Return the threshold of support, and what is let pass with the one that is used."""
        parts: dict[bool, list[Question]] = {False: [], True: []}
        for question in self._of("reading"):
            parts[question.part.startswith("reporting")].append(question)
        claims = make_claims(parts[False][:_MOST_CLAIMS], self._settings.seed)
        true = measure.supports([each for each in claims if each.true])
        false = measure.supports([each for each in claims if not each.true])
        calibrated = measure.best_threshold(true, false)
        threshold = Threshold(name="support", calibrated=calibrated, used=LEAST_SUPPORT)
        reported = make_claims(parts[True][:_MOST_CLAIMS], self._settings.seed)
        return threshold, measure.check_claims(reported)


def _evidence(asked: Sequence[Asked]) -> NDArray[np.float64]:
    return np.array([each.evidence for each in asked], np.float64)


def _task(
    kind: str, what: str, chinese: str, figures: tuple[Figure, ...], asked: int
) -> TaskResult:
    english, name = _KINDS[kind]
    return TaskResult(
        name=f"{kind}-{what.replace(' ', '-')}",
        english=f"{english}: {what}",
        chinese=f"{name}：{chinese}",
        file=kind,
        asked=asked,
        available=asked,
        figures=figures,
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
