"""Membership: which images and patients of a set a model was trained on.

A model keeps a hash of 48 bits of the digest of each training image, sorted, so that it recognizes
the same file. Patients' names are few and short, and any plain hash of them could be reversed by
trying names, so they are kept as hashes keyed with this user's secret (`featx.datasets.patients`)
and are compared only where that secret is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.findings import Finding, leak_error, make_finding
from featx.datasets.patients import hash_patient, patient_secret
from featx.errors import FeatxError, UsageError

__all__ = ["Members", "digest_codes", "find_members", "membership_record"]

Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_BYTES = 6


def membership_record(
    digests: Sequence[str], patients: npt.NDArray[np.str_] | None
) -> dict[str, Any]:
    """Return what a model keeps of its training images, and of its patients where known."""
    record: dict[str, Any] = {"images": np.unique(digest_codes(digests))}
    secret = None if patients is None else _secret()
    if patients is not None and secret is not None:
        record |= {
            "patients": np.unique(_patient_codes(patients, secret)),
            "key": _key_name(secret),
        }
    return record


@dataclass(frozen=True, eq=False)
class Members:
    """Images that a model was trained on, images of such patients, and findings on both."""

    names: Sequence[str]
    images: Mask
    patients: Mask
    findings: list[Finding]

    def any(self) -> bool:
        """Whether there is one."""
        return bool((self.images | self.patients).any())

    def others(self) -> npt.NDArray[np.int64]:
        """Return the places of all other images; an error if there is none."""
        others = np.flatnonzero(~(self.images | self.patients))
        if not len(others):
            raise UsageError(
                "the model was trained on all of these images or their patients, so none is left; "
                "give other images"
            )
        return others

    def left_out(self) -> list[Finding]:
        """Return the findings once these images are left out."""
        gone = [self.names[i] for i in np.flatnonzero(self.images | self.patients).tolist()]
        rest = [finding for finding in self.findings if finding.severity != "leak"]
        return [*rest, *make_finding("trained-on-left-out", "warning", gone)]

    def error(self) -> UsageError:
        """Return the error of a user who allows none of them."""
        return leak_error(
            "the model was trained on some of these images, so every score would be too good",
            [finding for finding in self.findings if finding.severity == "leak"],
            "leave these images out",
            "continue with a warning",
        )


def find_members(
    record: Mapping[str, Any] | None,
    names: Sequence[str],
    digests: Sequence[str],
    patients: npt.NDArray[np.str_] | None,
) -> Members:
    """Find the images, and patients where known, that a model was trained on.

    Parameters
    ----------
    record : mapping or None
        As `membership_record` returned it; None for a model without one.
    names, digests : sequence of str, length n_images
        Name and SHA-256 of each image.
    patients : ndarray of str, shape (n_images,), or None
        Patient of each image; None where unknown.

    Examples
    --------
    >>> record = membership_record(["ab" * 32, "cd" * 32], None)
    >>> [each.text for each in find_members(record, ["x.png"], ["ab" * 32], None).findings]
    ['1 image is among the training images of the model.']
    >>> [each.kind for each in find_members(None, ["x.png"], ["ab" * 32], None).findings]
    ['training-unknown']
    """
    nobody = np.zeros(len(names), dtype=bool)
    if record is None:
        return Members(names, nobody, nobody, [Finding("training-unknown", "warning", len(names))])
    images = np.isin(digest_codes(digests), record["images"])
    members = [names[i] for i in np.flatnonzero(images).tolist()]
    found = make_finding("trained-on-images", "leak", members)
    if patients is None or "patients" not in record:
        return Members(names, images, nobody, found)
    secret = _secret()
    if secret is None or _key_name(secret) != record["key"]:
        number = len(np.unique(patients))
        found.append(Finding("patients-not-compared", "information", number))
        return Members(names, images, nobody, found)
    known = np.isin(_patient_codes(patients, secret), record["patients"])
    shared = [f"patient {name}" for name in np.unique(patients[known])]
    found += make_finding("trained-on-patients", "leak", shared)
    return Members(names, images, known, found)


def digest_codes(digests: Sequence[str]) -> Codes:
    """Return 48 bits of a hash of each digest.

    Examples
    --------
    >>> bool((digest_codes(["ab", "cd"]) == digest_codes(["ab", "ab"])).all())
    False
    """
    hashes = (hashlib.sha256(digest.encode()).digest() for digest in digests)
    return np.array([int.from_bytes(each[:_BYTES]) for each in hashes], dtype=np.int64)


def _patient_codes(patients: npt.NDArray[np.str_], secret: str) -> Codes:
    names, number = np.unique(patients, return_inverse=True)
    return digest_codes([hash_patient(str(name), secret) for name in names])[number]


def _key_name(secret: str) -> str:
    """Name a secret, to notice another one."""
    return hash_patient("featx training record", secret)


def _secret() -> str | None:
    try:
        return patient_secret()
    # A folder that cannot be written must not abort a fit or a prediction.
    except FeatxError:
        return None
