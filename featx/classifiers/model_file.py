"""Model files that are safe to open: one skops archive, and only types on featx's own list."""

from __future__ import annotations

import io
import json
import logging
import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skops.io
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree
from sklearn.utils.validation import check_is_fitted

from featx.classifiers.boosting import BoostedTrees
from featx.classifiers.calibration import IsotonicCalibration, NoCalibration, SigmoidCalibration
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.scores import FORMAT
from featx.errors import FeatxError, UsageError
from featx.runtime.files import put_bytes

__all__ = ["load_model", "save_model"]

logger = logging.getLogger(__name__)


def _names(*types: type) -> frozenset[str]:
    return frozenset(f"{kind.__module__}.{kind.__name__}" for kind in types)


_OBJECTS = _names(
    FeatureClassifier,
    BoostedTrees,
    SigmoidCalibration,
    IsotonicCalibration,
    NoCalibration,
    Pipeline,
    StandardScaler,
    PCA,
    SVC,
    LogisticRegression,
    RandomForestClassifier,
    DecisionTreeClassifier,
    KNeighborsClassifier,
    GaussianNB,
)

_NUMBERS = _names(
    np.ndarray, np.bool_, np.int8, np.uint8, np.int32, np.int64, np.float32, np.float64
)

# What each of skops' loaders may make; a loader that is not here is refused whatever it makes.
_ALLOWED: dict[str, frozenset[str]] = {
    "DictNode": _names(dict),
    "ListNode": _names(list),
    "TupleNode": _names(tuple),
    "JsonNode": _names(str),
    "TypeNode": _names(str, int),
    "NdArrayNode": _NUMBERS | _names(np.str_),
    "ObjectNode": _OBJECTS,
    "TreeNode": _names(Tree),
}

_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def save_model(model: FeatureClassifier, path: str | Path) -> None:
    """Write a fitted model as one ``.skops`` file, whole or not at all.

    Parameters
    ----------
    model : FeatureClassifier
        Fitted.
    path : path-like
        Where to; missing folders are made.

    Raises
    ------
    FeatxError
        If the file cannot be written.
    """
    check_is_fitted(model)
    put_bytes(Path(path), skops.io.dumps(model, compression=zipfile.ZIP_STORED))


def load_model(path: str | Path) -> FeatureClassifier:
    """Read a model file that `save_model` or ``featx fit`` wrote.

    Nothing in the file can run code: its archive, its arrays and the names of all its types are
    checked before the first object is made, and no pickle is ever read.

    Parameters
    ----------
    path : path-like
        A ``.skops`` file.

    Returns
    -------
    FeatureClassifier
        As it was saved.

    Raises
    ------
    UsageError
        If there is no such file.
    FeatxError
        If the file is not a featx model, is damaged, or names a type that featx does not load.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no model file {path}; make one with `featx fit`")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FeatxError(f"{path} cannot be read ({error.strerror})") from error
    if content[:1] == b"\x80":
        raise FeatxError(
            f"{path} looks like a pickle, and featx never reads pickles because they can run any "
            "code; fit the model again with `featx fit`"
        )
    try:
        _check(content, path)
        model = _construct(content)
    except FeatxError:
        raise
    # Whatever a damaged or crafted file brings about, the user gets one clear message.
    except Exception as error:
        raise FeatxError(
            f"{path} is not a whole featx model ({type(error).__name__}: {error}); copy it again "
            "from where it was made, or fit it again with `featx fit`"
        ) from error
    if not isinstance(model, FeatureClassifier):
        raise FeatxError(
            f"{path} holds a {type(model).__name__}, not a featx model; make one with `featx fit`"
        )
    if len(model.classes_) > 2 and model.provenance_.get("score_format") != FORMAT:
        raise FeatxError(
            f"{path} has {len(model.classes_)} classes and was fitted by an older featx, whose "
            "scores of three or more were others; fit it again with `featx fit`"
        )
    _say_version(model, path)
    return model


def _check(content: bytes, path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        # featx stores without compression, so an honest archive unpacks to no more than its size.
        if packed or sum(entry.file_size for entry in entries) > len(content):
            unpacked = sum(entry.file_size for entry in entries)
            raise FeatxError(
                f"{path} is {len(content):,} bytes and claims to unpack to {unpacked:,}, with "
                f"{len(packed)} compressed parts; featx's models are never compressed, so this is "
                "not one, and it was not unpacked"
            )
        for entry in entries:
            if entry.filename.endswith(".npy"):
                _check_array(archive.read(entry), f"{path}:{entry.filename}")
        schema = json.loads(archive.read("schema.json"))
    for loader, name in _types(schema):
        if name not in _ALLOWED.get(loader, frozenset()):
            raise FeatxError(
                f"{path} names {name} (through {loader}), which is not among the types that a "
                "featx model may hold; it was not loaded. If you trust where it comes from, have "
                "the model fitted again with `featx fit`"
            )


def _check_array(content: bytes, where: str) -> None:
    """Refuse an array that claims more than it brings, before memory is taken for it."""
    stream = io.BytesIO(content)
    shape, _, dtype = _NPY_HEADERS[np.lib.format.read_magic(stream)](stream)
    if dtype.hasobject or stream.tell() + math.prod(shape) * dtype.itemsize != len(content):
        raise FeatxError(
            f"{where} claims shape {shape} of {dtype} and has {len(content):,} bytes; the file is "
            "damaged or was tampered with, and was not loaded"
        )


def _types(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield loader and type name of every node, however deep."""
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if part.keys() & {"__loader__", "__class__", "__module__"}:
                name = f"{part.get('__module__')}.{part.get('__class__')}"
                yield str(part.get("__loader__")), name
            pending += part.values()
        elif isinstance(part, list):
            pending += part


def _construct(content: bytes) -> Any:
    with warnings.catch_warnings():
        # One sentence follows in place of a warning for each tree of a forest.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        return skops.io.loads(content, trusted=sorted(frozenset().union(*_ALLOWED.values())))


def _say_version(model: FeatureClassifier, path: Path) -> None:
    made_with = model.provenance_["versions"]["scikit-learn"]
    if made_with != sklearn.__version__:
        logger.warning(
            f"{path} was made with scikit-learn {made_with} and this is {sklearn.__version__}: "
            "predictions may differ; if they matter, fit it again or install that version."
        )
