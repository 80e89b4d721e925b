"""Whose image it is, read from file names or DICOM headers."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.datasets.naming import NamePreset, read_names
from featx.errors import FeatxError, UnreadableImageError, UsageError
from featx.images.dicom.reader import is_dicom, read_patient
from featx.images.sources import Source, content_of, read_beginning

__all__ = [
    "PRESETS",
    "hash_patient",
    "local_secret",
    "patients_from_headers",
    "patients_from_names",
]


def _kermany(name: str) -> str | None:
    """Patient of an image of Kermany et al. 2018 (doi 10.17632/rscbjbr9sj.2)."""
    found = re.search(r"(?:^|[/_-])(person\d+|IM-\d+)[_-][^/]*$", name)
    if found is None:
        return None
    in_test = re.search(r"(?:^|/)test/", name) is not None
    return f"test-{found[1]}" if in_test else found[1]


# A patient stands near a file's beginning; the pixels need not be read.
HEADER_BYTES = 1 << 20

PRESETS: dict[str, NamePreset] = {"kermany": _kermany}


def patients_from_names(names: Sequence[str], rule: str) -> npt.NDArray[np.str_]:
    r"""Read each image's patient from its name.

    Returns
    -------
    ndarray of str, shape (n_images,)

    Examples
    --------
    >>> patients_from_names(["a/p01_x.png", "b/p02_y.png"], r"(p\d+)_").tolist()
    ['p01', 'p02']
    """
    return np.array(read_names("patient", names, rule, PRESETS, ["dicom"]), dtype=np.str_)


def patients_from_headers(
    names: Sequence[str], sources: Sequence[Source], secret: str | None
) -> list[str]:
    """Read each image's patient from its DICOM header, as a keyed hash and never otherwise."""
    key = local_secret() if secret is None else secret
    patients: list[str] = []
    misses: list[str] = []
    for name, source in zip(names, sources, strict=True):
        identity = _identity(name, source)
        patients.append("" if identity is None else hash_patient(identity, key))
        if identity is None:
            misses.append(name)
    if misses:
        raise UsageError(
            f"{len(misses):,} of {len(names):,} images have no DICOM header with a PatientID, "
            f"{misses[0]!r} for one; give --patients a regular expression, or a table with a "
            "column `patient`"
        )
    return patients


def _identity(name: str, source: Source) -> str | None:
    if isinstance(source, np.ndarray):
        return None
    beginning = read_beginning(source, HEADER_BYTES)
    try:
        if is_dicom(beginning):
            return read_patient(beginning) or read_patient(content_of(source))
    except UnreadableImageError:
        beginning = b""
    # A damaged file is told and left out when its pixels are read; here it stands for itself.
    return None if beginning else f"damaged {name}"


def hash_patient(patient: str, secret: str) -> str:
    """Return a patient's keyed hash: nobody without the secret finds it by trying names."""
    return hmac.new(secret.encode(), patient.encode(), hashlib.sha256).hexdigest()[:16]


def local_secret() -> str:
    """Return this user's secret on this machine, drawn when it is first needed."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "featx"
    path = folder / "patient-secret"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _write_first(path, secrets.token_hex(32))
        secret = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise FeatxError(
            f"the secret that keys patients' hashes cannot be kept in {path} ({error.strerror}); "
            "give one with --hash-patients or $FEATX_PATIENT_SECRET"
        ) from error
    if not secret:
        raise FeatxError(f"{path} is empty; delete it, and another secret is drawn")
    return secret


def _write_first(path: Path, secret: str) -> None:
    """Write a secret unless another process just did; it is never seen half written."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secret)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
