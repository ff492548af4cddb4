"""The thread that reads documents into the bases, beside the server."""

import logging
import threading
from contextlib import suppress

from qingtan.errors import UserError
from qingtan.knowledge.service import Knowledge

_log = logging.getLogger(__name__)
# Seconds between two looks for new jobs, and after a failure.
_IDLE, _AFTER_FAILURE = 0.2, 5.0
# Seconds that a document which is being read gets to end; what is cut off is read again later.
_STOP_SECONDS = 5


class Worker:
    """Runs the jobs, one after the other; the parsing itself is in a process of its own."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qingtan-ingestion", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the document that is being read."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        with suppress(UserError, OSError):
            self._knowledge.tidy()
        while not self._stopping.is_set():
            try:
                worked = self._knowledge.work()
            except Exception:
                # A store that is out of reach for a while must not end all reading for good.
                _log.exception("reading documents failed; it goes on")
                self._stopping.wait(_AFTER_FAILURE)
                continue
            if not worked:
                self._stopping.wait(_IDLE)
