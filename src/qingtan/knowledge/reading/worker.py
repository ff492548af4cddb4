"""The process that reads: it takes files on its standard input and gives documents back.

Or it draws a page of one, and gives the picture back.

It may be killed at any moment. What it sends is JSON, so that a file that takes it over gains no
hold on who reads the answer. A message is 8 bytes of length, big-endian, and so many bytes; a
request is two: what is asked, and the file.
"""

import dataclasses
import json
import os
import resource
import struct
import sys
from base64 import b64encode
from math import ceil
from typing import IO, Any

from qingtan.i18n import tr
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.formats import media_type_of, parser_of
from qingtan.knowledge.reading.limits import MIB, Limits, Unreadable

_LENGTH = struct.Struct(">Q")


def send(stream: IO[bytes], message: bytes) -> None:
    """Write a message."""
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes], most: int) -> bytes:
    """Read a message of at most so many bytes.

    Raises:
        EOFError: the other side is gone, or breaks the rules.
    """
    head = stream.read(_LENGTH.size)
    size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else most + 1
    message = stream.read(size) if size <= most else b""
    if len(message) != size:
        raise EOFError
    return message


def main() -> None:
    """Answer requests until the input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints does not get between the answers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            asked = json.loads(receive(requests, MIB))
            limits = Limits(**asked["limits"])
            data = receive(requests, limits.file_bytes)
        except EOFError:
            return
        send(answers, _answer(asked, data, limits))


def _answer(asked: dict[str, Any], data: bytes, limits: Limits) -> bytes:
    os.environ["QINGTAN_LANG"] = asked["language"]
    _restrict(limits)
    try:
        found = _drawn(asked, data) if "page" in asked else _read(asked, data, limits)
        return json.dumps(found).encode()
    except Unreadable as error:
        return json.dumps({"reason": error.reason}).encode()
    except MemoryError:
        return json.dumps({"reason": out_of_memory(limits), "exit": True}).encode()
    except RecursionError:
        reason = tr("nests its parts too deep", "内容嵌套过深")
        return json.dumps({"reason": reason}).encode()
    except ImportError as error:
        reason = tr(
            f"cannot be read here: {error.name} is missing; pip install qingtan",
            f"缺少组件{error.name}，无法读取：pip install qingtan",
        )
        return json.dumps({"reason": reason}).encode()
    except Exception as error:  # whatever a library raises on a file that nobody foresaw
        shown = f"{type(error).__name__}: {error}"[:300]
        reason = tr(f"is damaged: {shown}", f"文件已损坏：{shown}")
        return json.dumps({"reason": reason}).encode()


def _read(asked: dict[str, Any], data: bytes, limits: Limits) -> dict[str, Any]:
    draft = Draft(asked["name"], limits, asked["media_type"])
    media_type = media_type_of(data, draft.name, draft.media_hint)
    parser_of(media_type)(data, draft)
    return {"document": dataclasses.asdict(draft.document(media_type))}


def _drawn(asked: dict[str, Any], data: bytes) -> dict[str, Any]:
    from qingtan.knowledge.reading.pdf import draw_page  # only where there is a PDF file

    picture = draw_page(data, asked["page"], asked["width"])
    return {"picture": b64encode(picture).decode()}


def out_of_memory(limits: Limits) -> str:
    """Return the reason for a file that needs too much memory."""
    most = limits.memory_bytes // MIB
    return tr(
        f"needs more than {most} MiB of memory; split it", f"需要超过{most} MiB内存，请拆分文件"
    )


def _restrict(limits: Limits) -> None:
    """Bound memory, and processor time from now on; the system kills whoever goes beyond it."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = limits.memory_bytes if hard == resource.RLIM_INFINITY else min(limits.memory_bytes, hard)
    if sys.platform == "linux":  # macOS counts what is shared and refuses
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = ceil(used.ru_utime + used.ru_stime + limits.seconds)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or seconds < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


if __name__ == "__main__":
    main()
