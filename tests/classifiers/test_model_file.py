import functools
import io
import json
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import Ridge

import featx
from featx.classifiers.fitting import fit
from featx.classifiers.model_file import load_model, save_model
from featx.classifiers.registry import CLASSIFIERS
from featx.errors import FeatxError, UsageError
from tests.classifiers.makers import make_matrix

# Rows of a matrix are given as bare arrays here.
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


@pytest.fixture(scope="module")
def matrix():
    return make_matrix(n_images=60)


@pytest.fixture
def model(matrix):
    return fit(matrix, "logistic", cv=2)


@pytest.fixture
def saved(model, tmp_path):
    save_model(model, tmp_path / "model.skops")
    return tmp_path / "model.skops"


class Trap:
    """Touches a file when it is loaded."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __setstate__(self, state):
        open(state["marker"], "w").close()  # noqa: PTH123


def dump(model, path):
    path.write_bytes(skops.io.dumps(model))


def rewrite(path, **entries):
    """Replace entries of an archive; ``schema`` is a function of the parsed schema."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    schema = entries.pop("schema", None)
    if schema is not None:
        content["schema.json"] = json.dumps(schema(json.loads(content["schema.json"]))).encode()
    content.update(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("classifier", "classes"), [*((name, 2) for name in CLASSIFIERS), ("svm", 3), ("xgboost", 3)]
)
def test_round_trip(classifier, classes, tmp_path):
    matrix = make_matrix(n_images=48, classes=classes, views=1)
    calibration = {"svm": "isotonic", "logistic": "none"}.get(classifier, "sigmoid")
    model = fit(matrix, classifier, cv=2, calibration=calibration)
    save_model(model, tmp_path / "deep" / "model.skops")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["model.skops"]
    loaded = load_model(tmp_path / "deep" / "model.skops")
    assert np.array_equal(loaded.predict_images(matrix), model.predict_images(matrix))
    assert np.array_equal(loaded.predict(matrix.X), model.predict(matrix.X))
    assert np.array_equal(loaded.out_of_fold_images_, model.out_of_fold_images_)
    assert loaded.get_params() == model.get_params()
    for name in ("threshold_", "recipes_", "provenance_", "best_params_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(model, name)


def test_neither_file_names_nor_patients_are_kept(saved):
    content = saved.read_bytes()
    for text in ("image1.png", "patient001"):
        assert text.encode() not in content
        assert text.encode("utf-32-le") not in content


def test_pickle_is_not_read(tmp_path):
    path, marker = tmp_path / "model.skops", tmp_path / "marker"
    path.write_bytes(pickle.dumps(functools.partial(os.system, f"touch {marker}")))
    with pytest.raises(FeatxError, match="looks like a pickle"):
        load_model(path)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_not_a_model(tmp_path, content):
    path = tmp_path / "model.skops"
    with pytest.raises(UsageError, match="does not exist"):
        load_model(path)
    path.write_bytes(content)
    with pytest.raises(FeatxError, match="is not a whole featx model"):
        load_model(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_truncated(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FeatxError, match="is not a whole featx model"):
        load_model(saved)


def test_flipped_bytes_never_give_another_model(saved, matrix, model):
    content = bytearray(saved.read_bytes())
    expected = model.predict_images(matrix)
    refused = 0
    for position in np.random.default_rng(0).integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        saved.write_bytes(damaged)
        try:
            loaded = load_model(saved)
        except FeatxError:
            refused += 1
        else:  # a byte of the archive's own book-keeping, such as a date
            assert np.array_equal(loaded.predict_images(matrix), expected)
    assert refused > 40


@pytest.mark.parametrize("kind", ["object", "function", "method", "type"])
def test_other_types_are_refused_and_do_not_run(kind, model, tmp_path):
    path, marker = tmp_path / "model.skops", tmp_path / "marker"
    trap = Trap(marker)
    model.best_params_ = {
        "object": trap,
        "function": functools.partial(os.system, f"touch {marker}"),
        "method": trap.__setstate__,
        "type": Trap,
    }[kind]
    dump(model, path)
    name = r"functools\.partial" if kind == "function" else __name__
    with pytest.raises(FeatxError, match=f"names {name}"):
        load_model(path)
    assert not marker.exists()


def test_an_object_that_skops_itself_would_trust(model, tmp_path):
    model.best_params_ = Ridge()
    dump(model, tmp_path / "model.skops")
    refused_by_skops = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    assert not any("Ridge" in name for name in refused_by_skops)
    with pytest.raises(FeatxError, match=r"names sklearn\.linear_model\._ridge\.Ridge"):
        load_model(tmp_path / "model.skops")


@pytest.mark.parametrize("place", ["__module__", "__class__", "__loader__"])
def test_a_node_that_hides_its_name(saved, place):
    def hide(schema):
        schema["content"]["content"]["random_state"] = {
            "__class__": "system",
            "__module__": "os",
            "__loader__": "FunctionNode",
        }
        del schema["content"]["content"]["random_state"][place]
        return schema

    rewrite(saved, schema=hide)
    with pytest.raises(FeatxError, match="not among the types"):
        load_model(saved)


def test_a_module_is_not_even_imported(saved, tmp_path, monkeypatch):
    (tmp_path / "trapmodule.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)

    def name_it(schema):
        schema["content"]["content"]["classifier"]["__module__"] = "trapmodule"
        return schema

    rewrite(saved, schema=name_it)
    with pytest.raises(FeatxError, match=r"names trapmodule\.str"):
        load_model(saved)
    assert "trapmodule" not in sys.modules


def test_a_plain_dict_is_no_model(tmp_path):
    dump({"a": 1}, tmp_path / "model.skops")
    with pytest.raises(FeatxError, match="holds a dict"):
        load_model(tmp_path / "model.skops")


def test_zip_bomb_is_not_unpacked(saved):
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", bytes(50_000_000))
    assert saved.stat().st_size < 1_000_000
    with pytest.raises(FeatxError, match=r"claims to unpack to 50,.*was not unpacked"):
        load_model(saved)


def test_overlapping_entries_are_not_unpacked(saved):
    # One stored entry that the directory lists a thousand times.
    with zipfile.ZipFile(saved, "a") as archive:
        entry = archive.getinfo("schema.json")
        archive.filelist.extend([entry] * 1000)
        archive._didModify = True
    with pytest.raises(FeatxError, match="was not unpacked"):
        load_model(saved)


def array(shape=(10**7, 10**6), objects=False):
    stream = io.BytesIO()
    if objects:
        np.save(stream, np.array([print], dtype=object), allow_pickle=True)
    else:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + bytes(80)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array(), r"claims shape \(10000000, 1000000\)"),
        (array(objects=True), "claims shape"),
    ],
)
def test_arrays_of_objects_or_of_another_size_are_refused(saved, content, message):
    with zipfile.ZipFile(saved) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".npy"))
    rewrite(saved, **{name: content})
    with pytest.raises(FeatxError, match=message):
        load_model(saved)


def test_deep_nesting(saved):
    rewrite(saved, **{"schema.json": b"[" * 200_000})
    with pytest.raises(FeatxError, match="is not a whole featx model"):
        load_model(saved)


def test_another_scikit_learn_is_said_once(model, tmp_path, caplog):
    model.provenance_["versions"]["scikit-learn"] = "1.2.3"
    model.pipeline_._sklearn_version = "1.2.3"
    save_model(model, tmp_path / "model.skops")
    load_model(tmp_path / "model.skops")
    assert caplog.text.count("scikit-learn 1.2.3") == 1


def test_older_scores_of_three_classes_are_refused(tmp_path):
    model = featx.fit(make_matrix(classes=3), "naive_bayes", n_jobs=1)
    del model.provenance_["score_format"]
    save_model(model, tmp_path / "old.skops")
    with pytest.raises(FeatxError, match="3 classes and was fitted by an older featx"):
        load_model(tmp_path / "old.skops")


def test_names_of_the_first_version_are_read(saved, model, matrix):
    old = {"random_state": "seed", "cv": "folds", "best_params_": "best_parameters_"}

    def rename(schema):
        schema["__module__"] = "featx.classifiers.model"
        attributes = schema["content"]["content"]
        for new, name in old.items():
            attributes[name] = attributes.pop(new)
        del attributes["memory"]
        keys = schema["content"]["key_types"]["content"]
        del keys[-1]
        return schema

    rewrite(saved, schema=rename)
    loaded = load_model(saved)
    assert loaded.get_params() == model.get_params()
    assert loaded.best_params_ == model.best_params_
    assert np.array_equal(loaded.predict_images(matrix), model.predict_images(matrix))


def test_a_model_file_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatxError, match="cannot be written"):
        save_model(model, tmp_path / "file" / "model.skops")
