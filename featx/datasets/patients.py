"""Patient of each image: from a table, file names or DICOM headers, hashed where asked."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_config_path

from featx.datasets.headers import find_in_header
from featx.datasets.naming import from_names
from featx.datasets.rules import OpeningRules
from featx.errors import FeatxError, UnreadableImageError, UsageError
from featx.images.dicom.reader import read_patient
from featx.images.sources import Source

_SHORTEST_SECRET = 16


def find_patients(
    names: Sequence[str],
    sources: Sequence[Source],
    known: Sequence[str] | None,
    rules: OpeningRules,
) -> list[str] | None:
    """Return each image's patient, hashed if a secret is given, or None if unknown."""
    rule, secret = rules.patients, rules.hash_patients
    if secret is not None:
        check_secret(secret)
    if known is None and rule is not None and rule.lower() == "dicom":
        return _patients_from_headers(names, sources, secret)
    if known is None and rule is not None:
        known = from_names("patient", names, rule, rules.patient_remedy)
    if known is None or secret is None:
        return None if known is None else list(known)
    return [hash_patient(patient, secret) for patient in known]


def _patients_from_headers(
    names: Sequence[str], sources: Sequence[Source], secret: str | None
) -> list[str]:
    """Read each image's patient from its DICOM header, always as a keyed hash."""
    key = local_secret() if secret is None else secret
    identities = [_identity(name, source) for name, source in zip(names, sources, strict=True)]
    missing = [name for name, found in zip(names, identities, strict=True) if found is None]
    if missing:
        raise UsageError(
            f"{len(missing):,} of {len(names):,} images have no DICOM header with a PatientID, "
            f"{missing[0]!r} for one; give --patients a regular expression, or a table with a "
            "column `patient`"
        )
    return [hash_patient(str(identity), key) for identity in identities]


def _identity(name: str, source: Source) -> str | None:
    try:
        return find_in_header(source, read_patient)
    except UnreadableImageError:
        # A damaged file counts as a patient of its own; it is reported when its pixels are read.
        return f"damaged {name}"


def hash_patient(patient: str, secret: str) -> str:
    """Return a patient's keyed hash, which cannot be found by trying names without the secret."""
    return hmac.new(
        secret.encode(), patient.encode("utf-8", "surrogateescape"), hashlib.sha256
    ).hexdigest()[:16]


def check_secret(secret: str) -> str:
    """Return a secret that is long enough not to be found by trying."""
    # An unset variable gives an empty one.
    if len(secret.strip()) < _SHORTEST_SECRET:
        raise UsageError(
            f"the secret for hashing patients has {len(secret.strip())} characters, and at least "
            f"{_SHORTEST_SECRET} are needed; make one with `openssl rand -hex 16`"
        )
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise UsageError("the secret for hashing patients is not valid UTF-8 text") from None
    return secret


def patient_secret() -> str:
    """Return $FEATX_PATIENT_SECRET, or this user's secret on this machine."""
    given = os.environ.get("FEATX_PATIENT_SECRET")
    return check_secret(given) if given else local_secret()


def local_secret() -> str:
    """Return this user's secret on this machine, generated at first use."""
    path = user_config_path("featx") / "patient-secret"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_first(path, secrets.token_hex(32))
        secret = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise FeatxError(
            f"the secret for hashing patients cannot be stored in {path} ({error.strerror}); "
            "give one with --hash-patients or $FEATX_PATIENT_SECRET"
        ) from error
    if not secret:
        raise FeatxError(f"{path} is empty; delete it to generate another secret")
    return secret


def _write_first(path: Path, secret: str) -> None:
    """Write a secret atomically, unless another process just did."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secret)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
