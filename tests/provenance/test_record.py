"""The provenance record and the table of licences."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.provenance import (
    PROVENANCE_FILE,
    LicenceTable,
    Provenance,
    Source,
    Step,
    merge,
    render_sources,
)

POEMS = Source(name="poems", licence="MIT", documents=2, bytes=300, tokens=90)
LAWS = Source(name="laws", licence="LicenseRef-Public-Domain", documents=1, bytes=1000, tokens=7)


def test_a_record_is_read_as_written(tmp_path: Path) -> None:
    record = Provenance(sources=(POEMS, LAWS)).with_step(Step.now("corpus", seed=1, name="诗"))
    assert record.write(tmp_path) == tmp_path / PROVENANCE_FILE
    assert Provenance.read(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == [PROVENANCE_FILE]


def test_missing_and_damaged_records_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=PROVENANCE_FILE):
        Provenance.read(tmp_path)
    (tmp_path / PROVENANCE_FILE).write_text('{"sources": 5}')
    with pytest.raises(UserError, match=f"{PROVENANCE_FILE}: not a provenance record"):
        Provenance.read(tmp_path)


def test_merging_adds_counts_and_keeps_licences_apart() -> None:
    step = Step.now("corpus")
    other = POEMS.model_copy(update={"origin": "a book", "documents": 5})
    free = POEMS.model_copy(update={"licence": "CC0-1.0"})
    one = Provenance(sources=(POEMS, LAWS), steps=(step,))
    two = Provenance(sources=(other, free), steps=(step, Step.now("training")))
    merged = merge([one, two])
    assert [(s.name, s.licence, s.documents) for s in merged.sources] == [
        ("poems", "MIT", 7),
        ("laws", "LicenseRef-Public-Domain", 1),
        ("poems", "CC0-1.0", 2),
    ]
    assert merged.sources[0].origin == "a book"
    assert [s.name for s in merged.steps] == ["corpus", "training"]


def test_the_steps_of_a_teacher_are_told_from_the_models_own(tmp_path: Path) -> None:
    corpus, pretraining, tuning = (Step.now(name) for name in ("corpus", "pretrain", "tune"))
    teacher = Provenance(steps=(corpus, pretraining, tuning)).of_teacher("runs/teacher")
    student = merge([teacher, Provenance(steps=(corpus,))]).with_step(Step.now("distil"))
    assert [(step.name, step.of) for step in student.steps] == [
        ("corpus", ""),  # of both: the model's own
        ("pretrain", "runs/teacher"),
        ("tune", "runs/teacher"),
        ("distil", ""),
    ]
    student.write(tmp_path)
    assert Provenance.read(tmp_path) == student


def test_a_step_that_comes_down_twice_appears_once() -> None:
    pretraining, tuning = Step.now("pretrain", steps=9), Step.now("tune", of="runs/grandparent")
    early = Provenance(steps=(pretraining,)).of_teacher("runs/early")
    late = Provenance(steps=(tuning, pretraining)).of_teacher("runs/late")
    merged = merge([early.with_step(Step.now("distil")), late])
    assert [(step.name, step.of) for step in merged.steps] == [
        ("pretrain", "runs/early"),
        ("distil", ""),
        ("tune", "runs/grandparent"),  # it was a teacher's already
    ]
    own = Provenance(steps=(pretraining,))
    for records in ([own, early], [early, own]):
        assert merge(records).steps == (pretraining,)


@given(st.lists(st.lists(st.sampled_from([POEMS, LAWS]), max_size=4), max_size=4))
def test_merging_loses_no_token(lists: list[list[Source]]) -> None:
    merged = merge(Provenance(sources=tuple(sources)) for sources in lists)
    total = sum(source.tokens for sources in lists for source in sources)
    assert sum(source.tokens for source in merged.sources) == total
    assert len(merged.sources) <= 2


def test_the_table_is_markdown_with_the_largest_first() -> None:
    odd = Source(name="odd", licence="MIT", attribution="A | B\nC", bytes=2_000_000)
    lines = render_sources(Provenance(sources=(POEMS, LAWS, odd))).splitlines()
    assert lines[2] == r"| odd | MIT |  | A \| B C | 0 | 2.0 | 0 |"
    assert [line.split(" | ")[0] for line in lines[3:]] == ["| laws", "| poems"]


@pytest.fixture
def table(tmp_path: Path) -> LicenceTable:
    path = tmp_path / "sources.toml"
    path.write_text(
        '[licences]\n"MIT (texts free)" = "MIT"\n'
        '[sources.poetry]\nlicence = "MIT (texts free)"\naliases = ["poems"]\nattribution = "Li"\n'
    )
    return LicenceTable.read(path)


@pytest.mark.parametrize(
    ("name", "licence", "expected"),
    [
        ("poems", None, ("poetry", "MIT", "Li")),
        ("poetry", "CC0-1.0", ("poetry", "CC0-1.0", "Li")),
        ("poetry", " ", ("poetry", "MIT", "Li")),
        ("other", "Own licence 3", ("other", "Own licence 3", "")),
        ("other", "MIT (texts free)", ("other", "MIT", "")),
        ("other", None, ("other", "LicenseRef-unknown", "")),
    ],
)
def test_licences_are_looked_up_and_never_guessed(
    table: LicenceTable, name: str, licence: str | None, expected: tuple[str, str, str]
) -> None:
    source = table.describe(name, licence)
    assert (source.name, source.licence, source.attribution) == expected


def test_a_wrong_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    with pytest.raises(UserError, match=r"sources\.toml: no such"):
        LicenceTable.read(path)
    for text in ("[", '[sources.a]\nlicense = "MIT"\n', "[sources]\na = 5\n"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"sources\.toml: not a table"):
            LicenceTable.read(path)
