"""DICOM files, read in worker processes with limits on time and memory.

The C libraries that decode JPEG Lossless and JPEG-LS abort or loop on damaged files. In a worker
process that ends the worker only, and the file is reported as unreadable. It also keeps headers,
which hold patients' names, out of the main process.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.errors import MissingExtraError, UnreadableImageError
from featx.runtime.posix import describe_exit

# First bytes of a file without preamble: little-endian groups 2 and 8, big-endian group 8.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def is_dicom(content: bytes) -> bool:
    """Return whether bytes begin as a DICOM file does.

    Examples
    --------
    >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"BM" + bytes(200))
    (True, False)
    """
    if content[128:132] == b"DICM":
        return True
    if content[:2] not in _FIRST_GROUPS or len(content) < 132:
        return False
    big = content[:1] == b"\x00"
    element = int.from_bytes(content[2:4], "big" if big else "little")
    letters = content[4:6]
    explicit = letters.isalpha() and letters.isupper()
    # Without letters for the type, four bytes are a length, small for a first element.
    implicit = not big and int.from_bytes(content[4:8], "little") <= 64
    return element < 0x2000 and (explicit or implicit)


def read_dicom(content: bytes, color: str) -> npt.NDArray:
    """Decode a DICOM file with its modality and VOI transformations, see `read_image`.

    References
    ----------
    DICOM PS3.3, C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2 (padding).
    """
    answer, data = _request({"task": "pixels", "color": color}, content)
    return np.frombuffer(data, answer["dtype"]).reshape(answer["shape"])


def read_patient(content: bytes) -> str | None:
    """Return the PatientID of a DICOM file or None; hash it before it is stored anywhere."""
    answer, _ = _request({"task": "patient"}, content)
    return answer["patient"]


def read_fields(content: bytes, keywords: Sequence[str]) -> dict[str, str] | None:
    """Return header fields as text, ``""`` where missing; None if none is there."""
    answer, _ = _request({"task": "fields", "keywords": list(keywords)}, content)
    return answer["fields"] if any(answer["fields"].values()) else None


class Worker:
    """A process that reads one file after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "featx.images.dicom.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # No module is imported from the working directory, and Ctrl-C does not reach it.
            cwd="/",
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path),
                "OPENBLAS_NUM_THREADS": "1",
            },
        )

    def request(self, request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        """Send a file, and return the answer with its data."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({**request, "length": len(content)}).encode() + b"\n")
        self.process.stdin.write(content)
        self.process.stdin.flush()
        head = self.process.stdout.readline()
        if not head:
            raise EOFError
        answer = json.loads(head)
        data = self.process.stdout.read(answer["length"])
        if len(data) < answer["length"]:
            raise EOFError
        return answer, data

    def close(self) -> int:
        """End the process and return its exit code."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


# Idle workers by process: a forked process must not write into its parent's pipes.
_idle: dict[int, list[Worker]] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def _worker() -> Iterator[Worker]:
    with _lock:
        idle = _idle.setdefault(os.getpid(), [])
        worker = idle.pop() if idle else None
    worker = worker or Worker()
    try:
        yield worker
    except BaseException:
        # An answer still to come must not be taken for that of a later request.
        worker.process.kill()
        worker.close()
        raise
    with _lock:
        idle.append(worker)


def _request(request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    if importlib.util.find_spec("pydicom") is None:
        raise MissingExtraError("reading DICOM files", "featx[dicom]")
    with _worker() as worker:
        try:
            answer, data = worker.request(request, content)
        except (EOFError, OSError):
            code = worker.close()
            raise UnreadableImageError(f"damaged; its decoder {describe_exit(code)}") from None
    if "unreadable" in answer:
        raise UnreadableImageError(answer["unreadable"])
    return answer, data


@atexit.register
def _close_all() -> None:
    for worker in _idle.pop(os.getpid(), []):
        worker.close()
