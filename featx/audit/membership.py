"""Membership: which images and patients of a set a model was trained on.

A model keeps a hash of 48 bits of the digest of each training image, by which it recognizes the
same file, and a sketch of its features: the signs of 128 random projections. Two sketches that
differ in at most 4 bits are of the same picture. Measured with EfficientNet-Lite0 on radiographs of
Kermany et al. at 224 x 224: of 82,215 pairs of different images the closest differ in 27 bits; of
102 images that were saved again all are recognized as PNG, 96 % as JPEG of the same quality, 28 %
of quality 90, none of quality 60 or at another size. Features whose sketches of different training
images are alike get none. Both are sorted, which links them with nothing else.

Patients' names are few and short, and any plain hash of them could be reversed by trying names, so
they are kept as hashes keyed with this user's secret (`featx.datasets.patients`) and are compared
only where that secret is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.findings import Finding, find_where, leak_error, make_finding
from featx.backbones.opening import OPENED
from featx.datasets.patients import hash_patient, patient_secret
from featx.errors import FeatxError, UsageError
from featx.features.columns import image_part
from featx.features.matrix import FeatureMatrix

# Each call reads the rows again, block by block.
Blocks = Callable[[], Iterator[npt.NDArray[np.float32]]]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_BYTES = 6

_BITS = 128
SKETCH_BYTES = _BITS // 8
"""Length of the sketch of an image's features."""

_NEAR = 4
_ROWS = 256
_FEWEST_FEATURES = 256

# Proportion of images that may be near to another one, of those that are compared.
_ALIKE = 0.01
_JUDGED = 500


def membership_record(
    digests: Sequence[str],
    patients: npt.NDArray[np.str_] | None,
    features: Blocks | None = None,
) -> dict[str, Any]:
    """Return what a model keeps of its training images, and of its patients where known.

    `features` reads the features of the images themselves, as `original_views` returns it.
    """
    record: dict[str, Any] = {"images": np.unique(digest_codes(digests))}
    if features is not None:
        moments = _moments(features)
        sketches = np.unique(np.concatenate([*_sketches(moments, features)]), axis=0)
        if _differ(sketches):
            record |= {**moments, "sketches": sketches}
    secret = None if patients is None else _secret()
    if patients is not None and secret is not None:
        record |= {
            "patients": np.unique(_patient_codes(patients, secret)),
            "key": _key_name(secret),
        }
    return record


def without_members(
    record: Mapping[str, Any] | None, matrix: FeatureMatrix, leaks: str
) -> tuple[FeatureMatrix, list[Finding]]:
    """Find the images that a model was trained on; refuse or leave them out on demand.

    The record is that of `membership_record`, None for a model without one, and `leaks` one of
    `featx.audit.findings.LEAKS`.
    """
    patients = matrix.patients if matrix.patients_known else None
    sources = original_views(matrix), tuning_members(matrix)
    members, findings = find_members(record, matrix.names, matrix.digests, patients, *sources)
    if leaks == "allow" or not members.any():
        return matrix, findings
    found = [finding for finding in findings if finding.severity == "leak"]
    if leaks == "error":
        raise leak_error(
            "the model was trained on some of these images, so every score would be too good",
            found,
            "leave these images out",
            "continue with a warning",
        )
    if members.all():
        raise UsageError(
            "the model was trained on all of these images or their patients, so none is left; "
            "give other images"
        )
    rest = [finding for finding in findings if finding not in found]
    rest += find_where("trained-on-left-out", "warning", matrix.names, members)
    return matrix.select_images(np.flatnonzero(~members)), rest


def find_members(
    record: Mapping[str, Any] | None,
    names: Sequence[str],
    digests: Sequence[str],
    patients: npt.NDArray[np.str_] | None,
    features: Blocks | None = None,
    tuned: Mask | None = None,
) -> tuple[Mask, list[Finding]]:
    """Find the images that a model was trained on, and those of such patients where known.

    `tuned` are the images that `tuning_members` finds.

    Examples
    --------
    >>> record = membership_record(["ab" * 32, "cd" * 32], None)
    >>> [each.text for each in find_members(record, ["x.png"], ["ab" * 32], None)[1]]
    ['1 image is among the training images of the model.']
    >>> [each.kind for each in find_members(None, ["x.png"], ["ab" * 32], None)[1]]
    ['training-unknown']
    """
    if record is None:
        unknown = Finding("training-unknown", "warning", len(names))
        return np.zeros(len(names), dtype=bool), [unknown]
    images = np.isin(digest_codes(digests), record["images"])
    found = find_where("trained-on-images", "leak", names, images)
    adapted = np.isin(digest_codes(digests), record.get("adapted", ()))
    found += find_where("adapted-to", "information", names, adapted)
    if features is not None and "sketches" in record:
        alike = ~images & _seen(record, features)
        found += find_where("trained-on-copies", "leak", names, alike)
        images = images | alike
    if tuned is not None:
        found += find_where("tuned-on-images", "leak", names, tuned)
        images = images | tuned
    if patients is None or "patients" not in record:
        return images, found
    known = _known_patients(record, patients)
    if known is None:
        number = len(np.unique(patients))
        return images, [*found, Finding("patients-not-compared", "information", number)]
    shared = [f"patient {name}" for name in np.unique(patients[known])]
    return images | known, [*found, *make_finding("trained-on-patients", "leak", shared)]


def tuning_members(matrix: FeatureMatrix) -> Mask:
    """Find the images that tuned a network of the features, and images of their patients."""
    found = np.zeros(matrix.n_images, dtype=bool)
    for record in matrix.tuned_on:
        found |= np.isin(digest_codes(matrix.digests), record["images"])
        if matrix.patients_known and "patients" in record:
            known = _known_patients(record, matrix.patients)
            found |= False if known is None else known
    return found


def quantizing_members(matrix: FeatureMatrix) -> list[Finding]:
    """Find the images that an int8 network of the features was quantized on."""
    found = []
    # Features may have been computed elsewhere.
    for name in sorted({recipe["backbone"] for recipe in matrix.recipes} & OPENED.keys()):
        mask = np.isin(matrix.digests, [*OPENED[name](None).quantized_from.get("images", ())])
        found += find_where("quantized-on", "warning", matrix.names, mask, {"network": name})
    return found


def _known_patients(record: Mapping[str, Any], patients: npt.NDArray[np.str_]) -> Mask | None:
    """Find images of the record's patients; None where it has another secret."""
    secret = _secret()
    if secret is None or _key_name(secret) != record["key"]:
        return None
    return np.isin(_patient_codes(patients, secret), record["patients"])


def _seen(record: Mapping[str, Any], features: Blocks) -> Mask:
    """Return which images have nearly the sketch of a training image."""
    known = _bits(record["sketches"])
    found = [np.zeros(0, dtype=bool)]
    for sketches in _sketches(record, features):
        found.append(_distances(_bits(sketches), known).min(axis=1) <= _NEAR)
    return np.concatenate(found)


def _differ(sketches: npt.NDArray[np.uint8]) -> bool:
    """Return whether sketches of different pictures differ, judged by some training images."""
    bits = _bits(sketches[:: 1 + len(sketches) // _JUDGED])
    distances = _distances(bits, bits)
    np.fill_diagonal(distances, _BITS)
    return bool((distances.min(axis=1) <= 3 * _NEAR).mean() <= _ALIKE)


def _distances(
    bits: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the number of differing bits of each pair."""
    return bits.sum(axis=1)[:, None] + others.sum(axis=1) - 2 * bits @ others.T


def _sketches(moments: Mapping[str, Any], features: Blocks) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield 128 bits of each image, shape (n_images, 16), block by block."""
    n_features = len(moments["mean"])
    # Signs from a hash are the same under every version of NumPy.
    stream = hashlib.shake_256(b"featx sketch").digest(n_features * _BITS // 8)
    signs = np.unpackbits(np.frombuffer(stream, np.uint8)).reshape(n_features, _BITS)
    directions = (signs.astype(np.float32) * 2 - 1) / moments["deviation"][:, None]
    for block in features():
        yield np.packbits((block - moments["mean"]) @ directions > 0, axis=1)


def _bits(sketches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.unpackbits(sketches, axis=1).astype(np.float32)


def _moments(features: Blocks) -> dict[str, npt.NDArray[np.float32]]:
    """Return means and standard deviations of the columns, read block by block."""
    count, total, squares = 0, 0.0, 0.0
    for block in features():
        count, total = count + len(block), total + block.sum(axis=0, dtype=np.float64)
    mean = total / count
    for block in features():
        squares = squares + ((block - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / count)
    deviation = np.where(deviation > 0, deviation, 1.0)
    moments = {"mean": mean, "deviation": deviation}
    return {name: np.asarray(value, dtype=np.float32) for name, value in moments.items()}


def original_rows(matrix: FeatureMatrix) -> npt.NDArray[np.int64]:
    """Return the row of each image itself, in the order of images."""
    rows = np.flatnonzero(matrix.view == 0)
    return rows[np.argsort(matrix.image[rows], kind="stable")]


def original_views(matrix: FeatureMatrix) -> Blocks | None:
    """Return a reader of the features of the images themselves, in the order of images.

    None where the features are too few for sketches of different images to differ.
    """
    matrix = image_part(matrix)
    if matrix.X.shape[1] < _FEWEST_FEATURES:
        return None
    rows = original_rows(matrix)

    def read() -> Iterator[npt.NDArray[np.float32]]:
        for start in range(0, len(rows), _ROWS):
            yield np.asarray(matrix.X[rows[start : start + _ROWS]])

    return read


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
