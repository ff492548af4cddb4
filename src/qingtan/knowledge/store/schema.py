"""The tables, as steps from one version to the next: data are carried along, never lost.

A step that was once released is never changed; a change of the tables is a further step.
"""

from collections.abc import Callable, Sequence

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.records import new_revision

Step = Callable[[Database], None]

_DOCUMENTS = """
CREATE TABLE bases (
    number {number_key},
    tenant {text_type} NOT NULL,
    name {text_type} NOT NULL,
    about {text_type} NOT NULL,
    words {text_type} NOT NULL,
    encoder {text_type} NOT NULL DEFAULT '',
    dimensions INTEGER NOT NULL DEFAULT 0,
    created {text_type} NOT NULL,
    documents BIGINT NOT NULL DEFAULT 0,
    chunks BIGINT NOT NULL DEFAULT 0,
    UNIQUE (tenant, name)
);
CREATE TABLE documents (
    number {number_key},
    id {text_type} NOT NULL UNIQUE,
    base BIGINT NOT NULL REFERENCES bases ON DELETE CASCADE,
    name {text_type} NOT NULL,
    title {text_type} NOT NULL,
    media_type {text_type} NOT NULL,
    digest {text_type} NOT NULL,
    topic {text_type} NOT NULL,
    date {text_type},
    pages INTEGER,
    chunks INTEGER NOT NULL,
    added {text_type} NOT NULL,
    warnings {text_type} NOT NULL,
    facts {text_type} NOT NULL,
    UNIQUE (base, name)
);
CREATE TABLE contents (
    document BIGINT PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
    blocks {bytes_type} NOT NULL,
    original {bytes_type}
);
CREATE TABLE chunks (
    number {number_key},
    id {text_type} NOT NULL UNIQUE,
    document BIGINT NOT NULL REFERENCES documents ON DELETE CASCADE,
    topic {text_type} NOT NULL,
    chunk {text_type} NOT NULL
);
CREATE INDEX chunks_of_document ON chunks (document);
"""


def documents(database: Database) -> None:
    """Version 1: bases, documents, chunks. Their indexes are made with each base."""
    run(database, _DOCUMENTS)


_JOBS = """
CREATE TABLE jobs (
    number {number_key},
    id {text_type} NOT NULL UNIQUE,
    base BIGINT NOT NULL REFERENCES bases ON DELETE CASCADE,
    state {text_type} NOT NULL,
    created {text_type} NOT NULL,
    finished {text_type}
);
CREATE INDEX jobs_of_base ON jobs (base);
CREATE TABLE items (
    number {number_key},
    job BIGINT NOT NULL REFERENCES jobs ON DELETE CASCADE,
    turn INTEGER NOT NULL,
    kind {text_type} NOT NULL,
    name {text_type} NOT NULL,
    place {text_type} NOT NULL,
    topic {text_type} NOT NULL,
    scratch {text_type} NOT NULL,
    state {text_type} NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason {text_type} NOT NULL DEFAULT '',
    warnings {text_type} NOT NULL DEFAULT '[]',
    worker {text_type} NOT NULL DEFAULT '',
    lease DOUBLE PRECISION NOT NULL DEFAULT 0
);
CREATE INDEX items_of_job ON items (job);
CREATE INDEX items_by_turn ON items (state, turn, number);
"""


def jobs(database: Database) -> None:
    """Version 2: jobs and their items."""
    run(database, _JOBS)


_FEEDBACK = """
CREATE TABLE feedback (
    number {number_key},
    id {text_type} NOT NULL UNIQUE,
    base BIGINT NOT NULL REFERENCES bases ON DELETE CASCADE,
    vote {text_type} NOT NULL,
    answer {text_type} NOT NULL,
    chunk {text_type} NOT NULL,
    question {text_type} NOT NULL,
    text {text_type} NOT NULL,
    comment {text_type} NOT NULL,
    time {text_type} NOT NULL
);
CREATE INDEX feedback_of_base ON feedback (base);
"""


def feedback(database: Database) -> None:
    """Version 3: what people said of answers and passages."""
    run(database, _FEEDBACK)


def revisions(database: Database) -> None:
    """Version 4: what changes with all that a base holds, and with its own words."""
    run(database, "ALTER TABLE bases ADD COLUMN revision {text_type} NOT NULL DEFAULT ''")
    for (number,) in database.rows("SELECT number FROM bases"):
        database.rows("UPDATE bases SET revision = ? WHERE number = ?", (new_revision(), number))


STEPS: tuple[Step, ...] = (documents, jobs, feedback, revisions)


def run(database: Database, script: str) -> None:
    """Run statements that stand in both dialects."""
    script = script.format(
        bytes_type=database.bytes_type,
        number_key=database.number_key,
        text_type=database.text_type,
    )
    for statement in script.split(";"):
        if statement.strip():
            database.rows(statement)


def upgrade(database: Database, version: int, steps: Sequence[Step], name: str) -> int:
    """Run the steps that a store of a version lacks, within the caller's transaction.

    Returns:
        the version that it has now.

    Raises:
        UserError: the store is newer than the steps.
    """
    check_known(version, len(steps), name)
    for step in steps[version:]:
        step(database)
    return len(steps)


def check_known(version: int, known: int, name: str) -> None:
    """Make sure that a store is not newer than the program.

    Raises:
        UserError: it is.
    """
    if version > known:
        raise UserError(
            tr(
                f"{name}: was written by a newer Qingtan (schema {version}; this one knows "
                f"{known}); install the newer one",
                f"{name}：由更新版本的清谈写入（模式{version}，当前程序只支持到{known}），请升级程序",
            )
        )
