"""Patients of images, from tables, names or DICOM headers, hashed where asked; labels by names."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from platformdirs import user_config_path

from featx.datasets.headers import find_in_header
from featx.datasets.rules import OpeningRules
from featx.errors import FeatxError, UnreadableImageError, UsageError
from featx.images.dicom.reader import read_patient
from featx.images.sources import Source
from featx.runtime.kinds import shown

_SHORTEST_SECRET = 16

_NameRule = Callable[[str], str | None]


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


def _kermany(name: str) -> str | None:
    """Patient of an image of Kermany et al. 2018 (doi 10.17632/rscbjbr9sj.2)."""
    found = re.search(r"(?:^|[/_-])(person\d+|IM-\d+)[_-][^/]*$", name)
    if found is None:
        return None
    in_test = re.search(r"(?:^|/)test/", name) is not None
    return f"test-{found[1]}" if in_test else found[1]


def _kermany_subtype(name: str) -> str | None:
    """Bacterial or viral pneumonia, or normal, in the names of Kermany et al. 2018.

    ``person12_bacteria_47.jpeg``, ``person12_virus_48.jpeg`` and ``NORMAL2-IM-0129-0001.jpeg``;
    in the authors' own archive also ``BACTERIA-30629-0001.jpeg`` and ``NORMAL-28501-0001.jpeg``.
    """
    file = name.rpartition("/")[2].lower()
    found = re.match(r"(?:person\d+_)?(bacteria|virus)[_-]", file)
    if found:
        return found[1]
    return "normal" if re.match(r"(?:normal2?-)?(?:im-)?\d+-", file) else None


_PRESETS: dict[str, dict[str, _NameRule]] = {
    "patient": {"kermany": _kermany},
    "label": {"kermany-subtype": _kermany_subtype},
}
# "dicom" is read from files, not from names.
_KNOWN = {"patient": "kermany, dicom", "label": "kermany-subtype"}


def from_names(
    what: Literal["patient", "label"], names: Sequence[str], rule: str, remedy: str = ""
) -> list[str]:
    r"""Read each image's patient or class from its name.

    Examples
    --------
    >>> from_names("patient", ["a/p01_x.png", "b/p02_y.png"], r"(p\d+)_")
    ['p01', 'p02']
    >>> from_names("label", ["person1_virus_6.jpeg", "IM-0115-0001.jpeg"], "kermany-subtype")
    ['virus', 'normal']
    """
    find = _PRESETS[what].get(rule.lower()) or _compile(what, rule)
    values = [find(name) or "" for name in names]
    unmatched = [name for name, value in zip(names, values, strict=True) if not value]
    if unmatched:
        raise UsageError(
            f"the {what} rule {rule!r} does not fit {len(unmatched):,} of {len(names):,} images, "
            f"{unmatched[0]!r} for one; give {remedy or f'--{what}s another regular expression'}, "
            f"or a table with a column `{what}`"
        )
    return values


def _compile(what: str, rule: str) -> _NameRule:
    try:
        pattern = re.compile(rule)
    except (re.error, RecursionError, OverflowError) as error:
        # Of thousands of nested groups, Python runs out of stack.
        raise UsageError(
            f"the {what} rule {shown(rule)!r} is not a regular expression: {error}"
        ) from error
    if pattern.groups != 1:
        raise UsageError(
            f"the {what} rule {shown(rule)!r} is neither a preset ({_KNOWN[what]}) nor a regular "
            rf"expression with one group for the {what}, such as '(person\d+)_'"
        )

    def find(name: str) -> str | None:
        found = pattern.search(name)
        return found[1] if found else None

    return find
