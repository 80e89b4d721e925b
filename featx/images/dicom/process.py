"""Worker process that reads DICOM files for `featx.images.dicom.reader`."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from typing import Any, BinaryIO

from featx.errors import UnreadableImageError
from featx.images.dicom.pixels import find_fields, find_patient, read_pixels
from featx.runtime.posix import limit_cpu_seconds, limit_memory

MEMORY_BYTES = 6 << 30
# The slowest decoder, that of RLE in Python, takes some ten seconds for 20 megabytes.
SECONDS_PER_FILE = 10
SECONDS_PER_MEGABYTE = 2


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while line := requests.readline():
        request = json.loads(line)
        content = requests.read(request["length"])
        limit_cpu_seconds(SECONDS_PER_FILE + SECONDS_PER_MEGABYTE * len(content) // 1_000_000)
        try:
            answer, data = _answer(request, content)
        except UnreadableImageError as error:
            answer, data = {"unreadable": str(error)}, b""
        except MemoryError:
            answer, data = {"unreadable": "damaged; it asks for more memory than any image"}, b""
        # Texts of other exceptions may quote the header, and so the patient.
        except Exception as error:
            reason = f"damaged or cut short (DICOM, {type(error).__name__})"
            answer, data = {"unreadable": reason}, b""
        answers.write(json.dumps({**answer, "length": len(data)}).encode() + b"\n")
        answers.write(data)
        answers.flush()


def _answer(request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    if request["task"] == "patient":
        return {"patient": find_patient(content)}, b""
    if request["task"] == "fields":
        return {"fields": find_fields(content, request["keywords"])}, b""
    pixels = read_pixels(content, request["color"])
    return {"dtype": pixels.dtype.str, "shape": pixels.shape}, pixels.tobytes()


def main() -> None:
    """Serve on the standard streams, with limits on memory and time."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    limit_memory(MEMORY_BYTES)
    # C libraries print to the standard output, which must carry answers only.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
