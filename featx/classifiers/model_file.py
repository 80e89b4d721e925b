"""Model files that are safe to open: skops archives of listed types.

skops trusts many more types than a model of featx holds, and unpacks before it checks sizes.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
import warnings
import zipfile
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

from featx.audit.membership import membership_record
from featx.classifiers import classifier
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.decision_scores import FORMAT
from featx.classifiers.model_checks import check_model
from featx.classifiers.skops_reader import read_object
from featx.errors import FeatxError
from featx.runtime.files import put_bytes
from featx.runtime.kinds import expect
from featx.runtime.versions import check_versions, decisive_versions


def _names(*types: type) -> frozenset[str]:
    return frozenset(f"{kind.__module__}.{kind.__name__}" for kind in types)


# By name, so that a model's own types are the only ones imported.
_OBJECTS = frozenset(
    {
        "featx.classifiers.boosting.BoostedTrees",
        "featx.classifiers.calibration.IsotonicCalibration",
        "featx.classifiers.calibration.NoCalibration",
        "featx.classifiers.calibration.SigmoidCalibration",
        "featx.classifiers.classifier.FeatureClassifier",
        "featx.classifiers.model.FeatureClassifier",  # name in files of the first version
        "featx.classifiers.fusion.FusedClassifier",
        "featx.classifiers.scaling.BlockScaler",
        "featx.classifiers.smooth_trees.SmoothForest",
        "featx.classifiers.units.UnitRule",
        "sklearn.compose._column_transformer.ColumnTransformer",
        "sklearn.decomposition._pca.PCA",
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.impute._base.MissingIndicator",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.naive_bayes.GaussianNB",
        "sklearn.neighbors._classification.KNeighborsClassifier",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._encoders.OneHotEncoder",
        "sklearn.svm._classes.SVC",
        "sklearn.tree._classes.DecisionTreeClassifier",
    }
)

_NUMBERS = _names(
    np.ndarray, np.bool_, np.int8, np.uint8, np.int32, np.int64, np.float32, np.float64
)

# Files of the first version have these names.
_RENAMED_ATTRIBUTES = {"seed": "random_state", "folds": "cv", "best_parameters_": "best_params_"}
_RENAMED_FACTS = {"seed": "random_state", "folds": "n_splits"}

# Types that each of skops' loaders may make; other loaders are refused.
_ALLOWED: dict[str, frozenset[str]] = {
    "DictNode": _names(dict),
    "ListNode": _names(list),
    "TupleNode": _names(tuple),
    "JsonNode": _names(str),
    "TypeNode": _names(str, int, np.float64),
    "DTypeNode": _names(np.dtype),
    "SliceNode": _names(slice),
    "NdArrayNode": _NUMBERS | _names(np.str_),
    "ObjectNode": _OBJECTS,
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
}

# Before the checksum in the comment of an archive.
_SEAL = b"featx sha256 "

_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def save_model(model: FeatureClassifier, path: str | Path) -> None:
    """Write a fitted model as one ``.skops`` file, atomically."""
    # Imports all of scikit-learn, which reading does not need.
    import skops.io

    check_is_fitted(model)
    model = copy(model)
    model.__dict__.pop("_weights_places", None)
    put_bytes(Path(path), _sealed(skops.io.dumps(model, compression=zipfile.ZIP_STORED)))


def _sealed(content: bytes) -> bytes:
    """Append the SHA-256 of an archive as its comment, whose length ends the archive itself."""
    comment = _SEAL + hashlib.sha256(content[:-2]).hexdigest().encode()
    return content[:-2] + len(comment).to_bytes(2, "little") + comment


def _check_seal(content: bytes, comment: bytes) -> None:
    """Refuse an archive that was changed; those of before have no seal."""
    whole = content[: -2 - len(comment)]
    if comment and content != _sealed(whole + bytes(2)):
        raise ValueError("its bytes do not match their checksum")


def load_model(path: str | Path) -> FeatureClassifier:
    """Read a model file written by `FeatureClassifier.save` or ``featx fit``.

    Files of all versions are read. No code in a file can run: its archive, its arrays and the names
    of all its types are checked before the first object is made, and pickles are refused.

    Parameters
    ----------
    path : path-like
        Model file, with the suffix ``.skops``.

    Returns
    -------
    FeatureClassifier

    Raises
    ------
    UsageError
        If there is no such file, or it is something else.
    FeatxError
        If the file is not a featx model, is damaged, or names a type that featx does not load.

    Examples
    --------
    >>> import tempfile
    >>> from featx.classifiers.classifier import FeatureClassifier
    >>> X, y = np.arange(40.0).reshape(20, 2), np.repeat(["NORMAL", "PNEUMONIA"], 10)
    >>> model = FeatureClassifier("naive_bayes", n_jobs=1).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.skops")
    ...     again = load_model(f"{folder}/model.skops")
    >>> again.predict([[38, 39]]).tolist()
    ['PNEUMONIA']
    """
    path = expect(path, "model")
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
        # Where files of the first version look for the class.
        sys.modules.setdefault("featx.classifiers.model", classifier)
        with warnings.catch_warnings():
            # One message follows instead of a warning for each tree of a forest.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            model = read_object(content)
        if isinstance(model, FeatureClassifier):
            _rename(model)
            check_model(model)
    except FeatxError:
        raise
    # A damaged or crafted file can raise anything; the user gets one clear message.
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
            f"{path} has {len(model.classes_)} classes and was fitted by an older featx, which "
            "scored three or more classes differently; fit it again with `featx fit`"
        )
    # A benchmark writes models to one folder, and the weights that it tunes to another.
    folder = path.absolute().parent
    model._weights_places = (folder, folder / "tuned", folder.parent / "tuned")
    versions = model.provenance_["versions"]
    check_versions(versions, decisive_versions(), str(path), "this machine", kinds=["scores"])
    return model


def _rename(model: FeatureClassifier) -> None:
    """Give a model of the first version today's attribute names."""
    attributes = model.__dict__
    for old, new in _RENAMED_ATTRIBUTES.items():
        if old in attributes:
            attributes[new] = attributes.pop(old)
    attributes.setdefault("memory", None)
    attributes.setdefault("typicality_", None)
    if "membership_" not in attributes:
        # Of a model of images these are digests, of an array the numbers of rows.
        images = model.out_of_fold_images_
        record = membership_record(images.tolist(), None) if model.recipes_ else None
        attributes["membership_"] = record
    facts = attributes["provenance_"]
    model.provenance_ = {_RENAMED_FACTS.get(name, name): value for name, value in facts.items()}


def _check(content: bytes, path: Path) -> None:
    """Check an archive before the first object is made."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        # featx stores without compression, so an honest archive unpacks to no more than its size.
        if packed or sum(entry.file_size for entry in entries) > len(content):
            unpacked = sum(entry.file_size for entry in entries)
            raise FeatxError(
                f"{path} is {len(content):,} bytes and claims to unpack to {unpacked:,}, with "
                f"{len(packed)} compressed entries; featx never compresses its models, so this is "
                "not one, and it was not unpacked"
            )
        _check_seal(content, archive.comment)
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
    """Refuse an array whose header claims another size, before memory is allocated."""
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
        node = pending.pop()
        if isinstance(node, list):
            pending += node
        elif isinstance(node, dict):
            pending += node.values()
            if node.keys() & {"__loader__", "__class__", "__module__"}:
                yield (
                    str(node.get("__loader__")),
                    f"{node.get('__module__')}.{node.get('__class__')}",
                )
