"""The table of jobs: what is to be read into bases, by whom, and how it went.

A worker holds an item by a lease that it renews. Whoever is killed renews nothing, and after a
while another takes the item over. Each taking counts as an attempt before it begins, so an item
that kills its workers is set aside like one that fails.
"""

import json
import secrets
import time
from collections.abc import Callable, Sequence

from qingtan.errors import NotFound, UserError
from qingtan.i18n import tr
from qingtan.knowledge.store.database import Database, Row
from qingtan.knowledge.store.interface import Base
from qingtan.knowledge.store.job_records import Item, Job, Line, Lost, Outcome, Work
from qingtan.knowledge.store.records import BASE, base_of, clean, dumped, now

_LONGEST_REASON = 500
# How far an item that failed goes back among the others: what was wrong may pass, and it must not
# keep them waiting.
_BACK = 100
_OPEN = "('queued', 'running')"
_ITEM = "kind, name, place, topic, scratch"


class Jobs:
    """The jobs of a store.

    Args:
        clock: seconds, the same for all who share the store.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    # For those who give work.

    def add(self, base: Base, items: Sequence[Item]) -> Job:
        """Add a job.

        Raises:
            UserError: there is nothing to do, or no such base.
        """
        if not items:
            raise UserError(tr("nothing to read was named", "没有指定要读取的内容"))
        id = secrets.token_urlsafe(16)
        with self._database.transaction():
            self._check(base)
            ((number,),) = self._database.rows(
                "INSERT INTO jobs (id, base, state, created) VALUES (?, ?, 'queued', ?) "
                "RETURNING number",
                (id, base.id, now()),
            )
            self._database.many(
                f"INSERT INTO items (job, turn, state, {_ITEM}) "
                "VALUES (?, ?, 'queued', ?, ?, ?, ?, ?)",
                [(number, turn, *_columns(item)) for turn, item in enumerate(items)],
            )
        return self.job(base, id)

    def jobs(self, base: Base) -> list[Job]:
        """Return a base's jobs, the latest first, without their reports."""
        with self._database.snapshot():
            self._check(base)
            rows = self._database.rows(
                "SELECT number, id, state, created, finished FROM jobs WHERE base = ? "
                "ORDER BY number DESC",
                (base.id,),
            )
            return [self._job(base, row) for row in rows]

    def job(self, base: Base, id: str) -> Job:
        """Return a job with its report.

        Raises:
            NotFound: the base has no such job.
        """
        with self._database.snapshot():
            row = self._row(base, id)
            ended = self._database.rows(
                "SELECT name, state, reason, warnings FROM items "
                f"WHERE job = ? AND state NOT IN {_OPEN} ORDER BY number",
                (row[0],),
            )
            report = tuple(
                Line(name, outcome, reason, tuple(json.loads(warnings)))
                for name, outcome, reason, warnings in ended
            )
            return self._job(base, row, report)

    def cancel(self, base: Base, id: str) -> Job:
        """End a job: what waits is not begun, and what is being read is not put in.

        Raises:
            NotFound: the base has no such job.
        """
        with self._database.transaction():
            number, _, state, *_ = self._row(base, id, self._database.hold)
            if state in ("queued", "running"):
                self._database.rows(
                    "UPDATE jobs SET state = 'cancelled', finished = ? WHERE number = ?",
                    (now(), number),
                )
                self._database.rows(
                    f"UPDATE items SET state = 'cancelled' WHERE job = ? AND state IN {_OPEN}",
                    (number,),
                )
        return self.job(base, id)

    def scratch(self) -> set[str]:
        """Return all scratch that is still needed."""
        rows = self._database.rows(
            f"SELECT DISTINCT scratch FROM items WHERE state IN {_OPEN} AND scratch <> ''"
        )
        return {scratch for (scratch,) in rows}

    def _check(self, base: Base) -> None:
        if not self._database.rows(
            "SELECT 1 FROM bases WHERE number = ? AND tenant = ?", (base.id, base.tenant)
        ):
            raise NotFound(
                tr(f"{base.name}: no such knowledge base", f"{base.name}：没有这个知识库")
            )

    def _row(self, base: Base, id: str, hold: str = "") -> Row:
        self._check(base)
        rows = self._database.rows(
            "SELECT number, id, state, created, finished FROM jobs WHERE base = ? AND id = ?"
            + hold,
            (base.id, clean(id)),
        )
        if not rows:
            raise NotFound(tr(f"{id[:40]}: no such job", f"{id[:40]}：没有这个任务"))
        return rows[0]

    def _job(self, base: Base, row: Row, report: tuple[Line, ...] = ()) -> Job:
        number, id, state, created, finished = row
        counted = self._database.rows(
            "SELECT state, count(*) FROM items WHERE job = ? GROUP BY state", (number,)
        )
        counts: dict[str, int] = dict(counted)
        current = self._database.rows(
            "SELECT name FROM items WHERE job = ? AND state = 'running' ORDER BY number", (number,)
        )
        total = sum(counts.values())
        waiting = counts.pop("queued", 0) + counts.pop("running", 0)
        names = tuple(name for (name,) in current)
        return Job(
            id, base.name, state, created, finished, total, total - waiting, counts, names, report
        )

    # For those who do it.

    def claim(self, worker: str, seconds: float, attempts: int) -> Work | None:
        """Take the next item, or return None where there is none.

        Jobs take turns, so that a small one does not wait for the end of a large one.

        Args:
            worker: whoever asks; unlike all others.
            seconds: how long the item is held without `renew`.
            attempts: how often an item is taken before it is set aside.
        """
        time = self._clock()
        # Looking costs nobody anything; only then is a place among the writers taken.
        while self._database.rows(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM items WHERE state = 'queued') "
            "OR EXISTS (SELECT 1 FROM items WHERE state = 'running' AND lease < ?)",
            (time,),
        ):
            with self._database.transaction():
                self._take_back(time)
                work = self._take(worker, time + seconds)
                if work is None:
                    return None
                if work.attempts <= attempts:
                    return work
                self._end(work, "failed", self._killed(work))
        return None

    def _take_back(self, time: float) -> None:
        """Let others have what nobody holds any more."""
        self._database.rows(
            "UPDATE items SET state = 'queued', worker = '' WHERE state = 'running' AND lease < ?",
            (time,),
        )

    def _take(self, worker: str, until: float) -> Work | None:
        rows = self._database.rows(
            "UPDATE items SET state = 'running', worker = ?, lease = ?, attempts = attempts + 1 "
            "WHERE number = (SELECT number FROM items WHERE state = 'queued' "
            f"ORDER BY turn, number LIMIT 1{self._database.skip_locked}) "
            f"RETURNING number, job, attempts, {_ITEM}",
            (worker, until),
        )
        if not rows:
            return None
        number, job, attempts, *columns = rows[0]
        self._database.rows(
            "UPDATE jobs SET state = 'running' WHERE number = ? AND state = 'queued'", (job,)
        )
        (base,) = self._database.rows(
            f"SELECT {BASE} FROM bases WHERE number = (SELECT base FROM jobs WHERE number = ?)",
            (job,),
        )
        return Work(number, job, Item(*columns), base_of(base), worker, attempts)

    def _killed(self, work: Work) -> str:
        """Return the reason of an item whose last attempt came to no end."""
        ((earlier,),) = self._database.rows(
            "SELECT reason FROM items WHERE number = ?", (work.number,)
        )
        return earlier or tr(
            f"ended the program {work.attempts - 1} times while it was read; it was set aside",
            f"读取时程序已中断{work.attempts - 1}次，已搁置",
        )

    def renew(self, work: Work, seconds: float) -> bool:
        """Hold an item for longer; returns whether it is still the worker's."""
        rows = self._database.rows(
            "UPDATE items SET lease = ? WHERE number = ? AND worker = ? AND state = 'running' "
            "RETURNING number",
            (self._clock() + seconds, work.number, work.worker),
        )
        return bool(rows)

    def end(
        self, work: Work, outcome: Outcome, reason: str = "", warnings: Sequence[str] = ()
    ) -> None:
        """Say what became of an item.

        Raises:
            Lost: it is not the worker's any more.
        """
        with self._database.transaction():
            self._end(work, outcome, reason, warnings)

    def _end(
        self, work: Work, outcome: Outcome, reason: str = "", warnings: Sequence[str] = ()
    ) -> None:
        # One after the other, so that whoever ends the last item sees that it is.
        self._database.rows("UPDATE jobs SET state = state WHERE number = ?", (work.job,))
        self._change(work, outcome, reason, warnings)
        open_items = self._database.rows(
            f"SELECT 1 FROM items WHERE job = ? AND state IN {_OPEN} LIMIT 1", (work.job,)
        )
        if not open_items:
            self._database.rows(
                "UPDATE jobs SET finished = ?, state = CASE WHEN EXISTS (SELECT 1 FROM items "
                "WHERE job = jobs.number AND state <> 'failed') THEN 'done' ELSE 'failed' END "
                "WHERE number = ? AND state <> 'cancelled'",
                (now(), work.job),
            )

    def fail(self, work: Work, reason: str, attempts: int) -> None:
        """Let an item be tried again, or set it aside after so many attempts.

        Raises:
            Lost: it is not the worker's any more.
        """
        if work.attempts >= attempts:
            self.end(work, "failed", reason)
            return
        with self._database.transaction():
            self._change(work, "queued", reason, ())
            self._database.rows(
                "UPDATE items SET turn = turn + ? WHERE number = ?", (_BACK, work.number)
            )

    def release(self, work: Work) -> None:
        """Give an item back as if it had not been taken: what went wrong was not its fault.

        Raises:
            Lost: it is not the worker's any more.
        """
        with self._database.transaction():
            self._change(work, "queued", "", ())
            self._database.rows(
                "UPDATE items SET attempts = attempts - 1 WHERE number = ?", (work.number,)
            )

    def _change(self, work: Work, state: str, reason: str, warnings: Sequence[str]) -> None:
        rows = self._database.rows(
            "UPDATE items SET state = ?, reason = ?, warnings = ? "
            "WHERE number = ? AND worker = ? AND state = 'running' RETURNING number",
            (
                state,
                clean(reason)[:_LONGEST_REASON],
                dumped(list(warnings)),
                work.number,
                work.worker,
            ),
        )
        if not rows:
            raise Lost


def _columns(item: Item) -> tuple[str, ...]:
    return tuple(map(clean, (item.kind, item.name, item.place, item.topic, item.scratch)))
