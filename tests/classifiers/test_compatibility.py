"""What a model is given agrees with what it was fitted to, or both values are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.classifiers.adaptation import adapt
from featx.classifiers.inference import predict
from featx.errors import UsageError
from featx.runtime.versions import DECIDES, check_versions, decisive_versions
from tests.classifiers.makers import RECIPE, make_matrix

MATRIX = make_matrix(versions=decisive_versions())


@pytest.fixture(scope="module")
def model():
    return featx.fit(MATRIX, "logistic", n_jobs=1, cv=3)


def of_recipe(**changes):
    return {"recipes": ({**RECIPE, **changes},)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (of_recipe(backbone="vgg16"), "'resnet50' in the model, 'vgg16' in the matrix"),
        (of_recipe(weights="def"), "weights 'abc' in the model, 'def' in"),
        (of_recipe(size=[96, 96]), r"size \[224, 224\] in the model, \[96, 96\] in"),
        (of_recipe(colour="rgb"), "color 'grey' in the model, 'rgb' in"),
        (of_recipe(pooling="max"), "pooling 'average' in the model, 'max' in"),
        (of_recipe(normalisation="clahe"), "normalization 'none' in the model, 'clahe' in"),
        (of_recipe(precision="float16"), "precision 'float32' in the model, 'float16' in"),
        (of_recipe(network="0f"), "network '' in the model, '0f' in"),
        (of_recipe(format=2), "format None in the model, 2 in"),
        ({"recipes": (RECIPE, RECIPE)}, r"holds resnet50 \+ resnet50"),
        ({"recipes": ()}, "holds unknown features"),
        ({"X": MATRIX.X[:, :5]}, "the model takes 24 features"),
        ({"versions": {"opencv-python-headless": "4.11.0"}}, "4.11.0: pixels are known to differ"),
    ],
)
def test_one_difference_between_model_and_matrix_is_refused(model, changes, words):
    with pytest.raises(UsageError, match=words):
        model.predict_images(replace(MATRIX, **changes))


@pytest.mark.parametrize("changes", [of_recipe(seed=3), {"versions": {}}, {"splits": MATRIX.names}])
def test_what_changes_no_feature_is_accepted(model, changes, caplog):
    expected = model.predict_images(MATRIX)
    caplog.clear()
    np.testing.assert_array_equal(model.predict_images(replace(MATRIX, **changes)), expected)
    assert not caplog.records


def test_view_0_is_accepted_under_every_policy_and_others_with_a_warning(model, caplog):
    other = replace(MATRIX, **of_recipe(augmentation={"rotation": 9.0}))
    assert len(model.predict_images(other.select_views(1))) == MATRIX.n_images
    assert not caplog.records
    model.predict_images(other)
    assert "{'rotation': 7.0} in the first, {'rotation': 9.0}" in caplog.text


@pytest.mark.parametrize("library", [name for name in DECIDES if name in decisive_versions()])
def test_every_library_that_decides_a_number_is_stored_and_compared(
    library, model, tmp_path, caplog
):
    installed = decisive_versions()
    assert model.provenance_["versions"][library] == installed[library]
    older = {**installed, library: f"{installed[library].split('.')[0]}.0.0rc1"}
    if DECIDES[library] == "scores":
        model.save(tmp_path / "m.skops")
        again = featx.load_model(tmp_path / "m.skops")
        again.provenance_["versions"] = older
        again.save(tmp_path / "m.skops")
        caplog.clear()
        featx.load_model(tmp_path / "m.skops")
    else:
        model.predict_images(replace(MATRIX, versions=older))
    message = caplog.records[-1].getMessage()
    assert f"{library} " in message and older[library] in message
    assert DECIDES[library] in message and f"pip install {library}==" in message


@pytest.mark.parametrize("package", ["opencv-python", "tensorflow-cpu", "xgboost-cpu"])
def test_packages_of_one_library_are_compared_as_one(package, caplog):
    library = {"opencv-python": "opencv-python-headless"}.get(package, package[:-4])
    check_versions({package: "5.1"}, {library: "5.1"}, "a", "b", DECIDES.values())
    assert not caplog.records
    check_versions({package: "5.1"}, {library: "5.2"}, "a", "b", DECIDES.values())
    assert f"{library} 5.1 and 5.2" in caplog.text


def test_versions_of_a_matrix_made_elsewhere_go_into_the_model():
    elsewhere = {"opencv-python-headless": "4.11.0", "scikit-learn": "1.2"}
    versions = featx.fit(replace(MATRIX, versions=elsewhere), "naive_bayes", n_jobs=1).provenance_[
        "versions"
    ]
    assert versions["opencv-python-headless"] == "4.11.0"
    assert versions["scikit-learn"] == decisive_versions()["scikit-learn"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_names": ("NORMAL", "BACTERIA")}, "BACTERIA, NORMAL and the matrix NORMAL, BACT"),
        (of_recipe(weights="def"), "weights 'abc' in the model, 'def' in"),
    ],
)
def test_adaptation_refuses_other_training_images(model, changes, words):
    with pytest.raises(UsageError, match=words):
        adapt(model, MATRIX, train=replace(MATRIX, **changes))


@pytest.mark.usefixtures("quick")
def test_labels_of_images_with_classes_in_another_order_are_matched_by_name():
    pixels = np.random.default_rng(0).integers(0, 255, (24, 16, 16), np.uint8)
    labels = np.array(["NORMAL", "PNEUMONIA"])[np.arange(24) % 2]
    images = featx.ImageDataset.from_arrays(pixels, labels)
    model = featx.fit(featx.extract(images, views=1), "naive_bayes", n_jobs=1, cv=2)
    for names in (("NORMAL", "PNEUMONIA"), ("PNEUMONIA", "NORMAL"), ("COVID", *images.class_names)):
        other = featx.ImageDataset.from_arrays(pixels, labels, class_names=names)
        found = predict(model, other)
        assert np.array(found.class_names)[found.labels].tolist() == labels.tolist()
    unknown = featx.ImageDataset.from_arrays(pixels, ["COVID", "OTHER"] * 12)
    assert (predict(model, unknown).labels == -1).all()


class TestColumnNames:
    """Frames of features identify network and recipe to scikit-learn."""

    one = make_matrix(views=1)
    other = replace(one, **of_recipe(weights="def"))

    def columns(self, matrix):
        return matrix.to_frame()[matrix.feature_names]

    @pytest.mark.parametrize(
        "classifier",
        [
            LogisticRegression(max_iter=500),
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
            featx.FeatureClassifier("naive_bayes", n_jobs=1, cv=2),
        ],
        ids=["classifier", "pipeline", "featx"],
    )
    def test_scikit_learn_refuses_another_networks_features(self, classifier):
        fitted = classifier.fit(self.columns(self.one), self.one.y)
        fitted.predict(self.columns(self.one))
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(self.columns(self.other))

    def test_a_model_of_a_matrix_takes_its_frame_and_refuses_others(self):
        model = featx.fit(self.one, "naive_bayes", n_jobs=1, cv=2)
        expected = model.predict_images(self.one)
        np.testing.assert_allclose(model.predict_proba(self.columns(self.one)), expected)
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict_proba(self.columns(self.other))

    def test_bare_arrays_are_a_warning(self, tmp_path):
        model = featx.fit(self.one, "naive_bayes", n_jobs=1, cv=2)
        model.save(tmp_path / "m.skops")
        for each in (model, featx.load_model(tmp_path / "m.skops")):
            with pytest.warns(UserWarning, match="does not have valid feature names"):
                each.predict_proba(self.one.X)

    def test_a_model_of_a_frame_refuses_a_matrix_of_other_columns(self, tmp_path):
        model = featx.FeatureClassifier("naive_bayes", n_jobs=1, cv=2)
        model.fit(self.columns(self.one), self.one.y)
        assert len(model.predict_images(self.one)) == 90
        with pytest.raises(UsageError, match=r"whose column 0 is 'resnet50_.*_0', and that of the"):
            model.predict_images(self.other)
        model.save(tmp_path / "m.skops")
        again = featx.load_model(tmp_path / "m.skops")
        with pytest.raises(UsageError, match="whose column 0"):
            again.predict_images(self.other)
