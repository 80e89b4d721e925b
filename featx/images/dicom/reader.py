"""DICOM files, read by processes of their own.

The C libraries that decode JPEG Lossless and JPEG-LS abort or loop on damaged files; a process of
its own, with bounds on its time and memory, takes only itself down, and the file is named as
unreadable. It also keeps what pydicom parses, patients' names among it, away from everything else.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.errors import MissingExtraError, UnreadableImageError

__all__ = ["is_dicom", "read_dicom", "read_patient"]

# Little-endian groups 2 and 8, and big-endian group 8: what a file without preamble begins with.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def is_dicom(content: bytes) -> bool:
    """Tell whether bytes are those of a DICOM file, by their beginning.

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
    # Without letters for the type, four bytes tell a length, and that of a first element is small.
    implicit = not big and int.from_bytes(content[4:8], "little") <= 64
    return element < 0x2000 and (explicit or implicit)


def read_dicom(content: bytes, color: str, largest_pixels: int) -> npt.NDArray:
    """Decode a DICOM file as it is meant to be looked at.

    Returns
    -------
    ndarray of uint8 or float32, shape (height, width) or (height, width, 3)
        Intensities from 0 to 255.

    References
    ----------
    DICOM PS3.3, C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2 (padding).
    """
    answer, data = _ask({"task": "pixels", "color": color, "largest": largest_pixels}, content)
    return np.frombuffer(data, answer["dtype"]).reshape(answer["shape"])


def read_patient(content: bytes) -> str | None:
    """Return the PatientID of a DICOM file, or None if there is none.

    It tells who somebody is: hash it before it goes anywhere.
    """
    answer, _ = _ask({"task": "patient"}, content)
    return answer["patient"]


class _Reader:
    """A process that reads one file after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "featx.images.dicom.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Folders that the user stands in hold no modules, and Ctrl-C is for this process.
            cwd="/",
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path),
                "OPENBLAS_NUM_THREADS": "1",
            },
        )

    def ask(self, request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
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
        """Let it end, and return how it did."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


# Readers at rest; a forked process must not write into the pipes of its parent's.
_resting: dict[int, list[_Reader]] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def _borrow() -> Iterator[_Reader]:
    with _lock:
        resting = _resting.setdefault(os.getpid(), [])
        reader = resting.pop() if resting else None
    reader = reader or _Reader()
    try:
        yield reader
    except BaseException:
        # What it has still to say belongs to no later question.
        reader.process.kill()
        reader.close()
        raise
    with _lock:
        resting.append(reader)


def _ask(request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    if importlib.util.find_spec("pydicom") is None:
        raise MissingExtraError("reading DICOM files", "featx[dicom]")
    with _borrow() as reader:
        try:
            answer, data = reader.ask(request, content)
        except (EOFError, OSError):
            code = reader.close()
            raise UnreadableImageError(f"damaged; its decoder {_ending(code)}") from None
    if "unreadable" in answer:
        raise UnreadableImageError(answer["unreadable"])
    return answer, data


def _ending(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "did not come to an end"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


@atexit.register
def _close_all() -> None:
    for reader in _resting.pop(os.getpid(), []):
        reader.close()
