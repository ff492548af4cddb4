"""The folder of a build, which stays when the build is stopped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from qingtan.corpus.pipeline.plan import FINGERPRINT_FILE, Work
from qingtan.errors import UserError
from qingtan.files import check_free, put_in_place, write_text


class Interrupted(UserError):  # noqa: N818
    """The build stopped before its end, through no fault of the recipe; it can go on."""


@contextmanager
def workspace(path: Path, marker: str, fingerprint: str, replace: bool) -> Iterator[Work]:
    """Yield the folder of a build; its `result` becomes `path` when the block ends.

    The folder lies beside `path` and stays when the build is stopped or killed, so that the same
    build, known by its fingerprint, goes on in it. Another one begins anew. A build that cannot
    be done, a `UserError`, leaves nothing.

    Raises:
        UserError: `path` exists and may not be replaced, or another process builds it.
    """
    check_free(path, marker, replace)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.partial")
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{path}: another process is building it") from None
    try:
        _begin_or_go_on(folder, fingerprint)
        work = Work(folder)
        work.prepare()
        yield work
        put_in_place(work.result, path)
        shutil.rmtree(folder)
    except Interrupted:
        raise
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        with suppress(OSError):  # Windows does not remove a file that is open
            Path(lock.lock_file).unlink()
        lock.release()


def _begin_or_go_on(folder: Path, fingerprint: str) -> None:
    known = folder / FINGERPRINT_FILE
    if folder.exists() and not (known.is_file() and known.read_text() == fingerprint):
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    write_text(known, fingerprint)
