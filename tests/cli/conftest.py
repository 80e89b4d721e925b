from __future__ import annotations

import os
import zipfile

import pytest


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with one thing of each kind, named as in the examples of the help."""
    root = tmp_path_factory.mktemp("place")
    for name in ("chest_xray/NORMAL", "new_images", "other_hospital", "weights", "models"):
        (root / name).mkdir(parents=True)
    for name in ("results", "results-2023", "results-2024"):
        (root / name).mkdir()
        (root / name / "results.json").write_text("[]")
    for name in ("svm", "logistic"):
        with zipfile.ZipFile(root / "models" / f"{name}.skops", "w") as archive:
            archive.writestr("schema.json", "{}")
    (root / "features.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"featx_format")
    (root / "table.csv").write_text("path,label\n")
    (root / "file").touch()
    os.mkfifo(root / "pipe")
    return root
