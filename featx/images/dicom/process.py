"""The process that reads DICOM files for `featx.images.dicom.reader`: questions in, answers out."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import sys
import warnings
from typing import Any, BinaryIO

from featx.errors import UnreadableImageError
from featx.images.dicom.pixels import find_patient, read_pixels

__all__ = ["serve"]

MEMORY_BYTES = 6 << 30
# A file of 20 megabytes takes the slowest decoder, that of RLE in Python, some ten seconds.
SECONDS_A_FILE = 10
SECONDS_A_MEGABYTE = 2


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more questions."""
    while line := questions.readline():
        question = json.loads(line)
        content = questions.read(question["length"])
        allow_seconds(SECONDS_A_FILE + SECONDS_A_MEGABYTE * len(content) // 1_000_000)
        try:
            answer, data = _answer(question, content)
        except UnreadableImageError as error:
            answer, data = {"unreadable": str(error)}, b""
        except MemoryError:
            answer, data = {"unreadable": "damaged; it asks for more memory than any image"}, b""
        # The words of other errors may quote the header, and so the patient.
        except Exception as error:
            reason = f"damaged or cut short (DICOM, {type(error).__name__})"
            answer, data = {"unreadable": reason}, b""
        answers.write(json.dumps({**answer, "length": len(data)}).encode() + b"\n")
        answers.write(data)
        answers.flush()


def allow_seconds(seconds: int) -> None:
    """Have this process killed once it has computed for so long from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most < 0 else min(limit, most), most))


def _answer(question: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    if question["task"] == "patient":
        return {"patient": find_patient(content)}, b""
    pixels = read_pixels(content, question["color"], question["largest"])
    return {"dtype": pixels.dtype.str, "shape": pixels.shape}, pixels.tobytes()


def main() -> None:
    """Serve on the standard streams, within bounds."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # Refused where the system already allows less.
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # C libraries print to the standard output, where only answers may stand.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
