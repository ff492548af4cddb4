"""Reading files in a process of its own, which is killed when it takes too long."""

import atexit
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from qingtan.i18n import language, tr
from qingtan.knowledge.documents import Block, Document, Faq
from qingtan.knowledge.reading.limits import MIB, Limits, Unreadable
from qingtan.knowledge.reading.sources import Source, sources
from qingtan.knowledge.reading.worker import out_of_memory, receive, send

_FILES_A_PROCESS = 500  # then a new one begins, with nothing left behind
_ANSWER_BYTES = 1024 * MIB
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "TZ")


class Reader:
    """Reads one file at a time; several threads may ask, and wait for one another.

    The process starts with the first file and is used again. It holds no secrets: of the
    environment it gets only what programs need.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._files = 0

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the next file would start another."""
        with self._lock:
            self._stop()

    def read(self, source: Source | str | Path, limits: Limits | None = None) -> Document:
        """Return what a file says.

        Args:
            source: a file, or a path to one.
            limits: of this file; else the reader's.

        Raises:
            Unreadable: it cannot be read; the message names it and says why.
        """
        limits = limits or self.limits
        source = source if isinstance(source, Source) else _only(source, limits)
        return _document(self._answer(source, limits, {})["document"])

    def draw(self, source: Source | str | Path, page: int, width: int) -> bytes:
        """Return a page of a PDF file as a WebP picture.

        Args:
            page: from 1.
            width: in dots; a page that is very tall is drawn narrower.

        Raises:
            Unreadable: it is no PDF file, has no such page, or is damaged; as of `read`.
        """
        source = source if isinstance(source, Source) else _only(source, self.limits)
        answer = self._answer(source, self.limits, {"page": page, "width": width})
        return b64decode(answer["picture"])

    def _answer(self, source: Source, limits: Limits, more: dict[str, int]) -> dict[str, Any]:
        """Return what the process says of a file; `more` is what it is to do, if not to read."""
        try:
            data = source.read(limits)
            with self._lock:
                answer = self._ask(source, data, limits, more)
        except Unreadable as error:
            raise Unreadable(error.reason, source.name) from None
        if "reason" in answer:
            raise Unreadable(answer["reason"], source.name)
        return answer

    def _ask(
        self, source: Source, data: bytes, limits: Limits, more: dict[str, int]
    ) -> dict[str, Any]:
        asked = {
            "name": source.name,
            "media_type": source.media_type,
            "limits": dataclasses.asdict(limits),
            "language": language(),
            **more,
        }
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limits.clock_seconds, stop)
        timer.start()
        try:
            send(process.stdin, json.dumps(asked).encode())
            send(process.stdin, data)
            answer: dict[str, Any] = json.loads(receive(process.stdout, _ANSWER_BYTES))
        except (EOFError, OSError, ValueError):
            code = self._stop()
            raise Unreadable(_explain(late.is_set(), code, limits)) from None
        except BaseException:
            self._stop()  # it would answer the next one with this one's document
            raise
        finally:
            timer.cancel()
        if late.is_set() or answer.get("exit") or self._files >= _FILES_A_PROCESS:
            self._stop()
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        self._files += 1
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._files = 1
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "qingtan.knowledge.reading.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
            atexit.register(self.close)
        return self._process

    def _stop(self) -> int | None:
        """Kill the process, if there is one, and return how it ended."""
        process, self._process = self._process, None
        if process is None:
            return None
        atexit.unregister(self.close)
        process.kill()  # one that has ended already keeps the way it did
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                _close(stream)
        return code


def _close(stream: Any) -> None:
    with suppress(OSError):  # what was not written yet is lost with the process
        stream.close()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    paths = os.pathsep.join(path for path in sys.path if path)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}


def _explain(is_late: bool, code: int | None, limits: Limits) -> str:
    if is_late or code == -signal.SIGXCPU:
        seconds = f"{limits.seconds:g}"
        return tr(
            f"took longer than {seconds} seconds to read; split it, unless it is built to do so",
            f"读取超过{seconds}秒，已中止；请拆分文件，也可能是恶意构造的文件",
        )
    if code in (-9, -6, 137, 134):
        return out_of_memory(limits)
    return tr(
        f"made the reading process break down ({code}); it is damaged or an attack",
        f"读取进程异常退出（{code}），文件已损坏或为恶意文件",
    )


def _only(path: str | Path, limits: Limits) -> Source:
    """Return the one file at a path."""
    path = Path(path)
    if path.is_dir() or path.suffix.lower() == ".zip":
        raise Unreadable(
            tr(
                "is a folder or an archive; read each of its files (see sources)",
                "是文件夹或压缩包，请逐个读取其中的文件（见sources）",
            ),
            str(path),
        )
    return next(sources(path, limits))


def _document(value: dict[str, Any]) -> Document:
    blocks = tuple(_block(each) for each in value.pop("blocks"))
    warnings = tuple(value.pop("warnings"))
    return Document(blocks=blocks, warnings=warnings, **value)


def _block(value: dict[str, Any]) -> Block:
    box, faq = value["box"], value["faq"]
    value["rows"] = tuple(map(tuple, value["rows"]))
    value["box"] = None if box is None else tuple(box)
    value["faq"] = None if faq is None else Faq(**{**faq, "similar": tuple(faq["similar"])})
    return Block(**value)


_shared = Reader()


def read(source: Source | str | Path, *, limits: Limits | None = None) -> Document:
    """Return what a file says, by a reading process that the whole program shares.

    Raises:
        Unreadable: it cannot be read; the message names it and says why.
    """
    return _shared.read(source, limits)
