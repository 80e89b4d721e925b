"""Digests of files that are computed once in a process."""

import os
import time

from featx.runtime import files
from featx.runtime.files import file_digest, known_digest


def test_a_digest_is_computed_again_after_any_change(tmp_path, monkeypatch):
    path = tmp_path / "weights.h5"
    path.write_bytes(b"one")
    assert known_digest(path) == file_digest(path)
    # Within a step of the time stamps a second change may not show.
    path.write_bytes(b"two")
    assert known_digest(path) == file_digest(path)
    os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(files, "GRANULARITY_SECONDS", -1)
    first = known_digest(path)
    assert known_digest(path, "md5") == file_digest(path, "md5")
    # A step of the file system's clock.
    time.sleep(0.02)
    path.write_bytes(b"six")
    os.utime(path, (1e9, 1e9))
    assert known_digest(path) == file_digest(path) != first
