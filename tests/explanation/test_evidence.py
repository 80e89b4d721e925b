import numpy as np
import pytest

from featx.backbones import engines
from featx.benchmarking.controls import control_matrix
from featx.classifiers.fitting import fit
from featx.errors import UsageError
from featx.explanation.evidence import ACTIVATION, OCCLUSION, Explainer, add_maps, mean_effects
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix
from tests.benchmarking.conftest import GridEngine, draw


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """Features of two small untrained networks, with maps of different grids and depths."""
    images = draw(n=40, classes=("a", "b", "c"), signal=140)
    settings = {"weights": "random", "engine": "keras", "cache": tmp_path_factory.mktemp("cache")}
    names = {"mobilenetv2@64": "average", "efficientnet_lite0@96": "multi_depth"}
    blocks = [
        extract(images, name, views=1, pooling=pooling, **settings)
        for name, pooling in names.items()
    ]
    return images, FeatureMatrix.join(blocks)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_the_map_of_joined_backbones_adds_up_to_the_decision(embedded):
    images, matrix = embedded
    model = fit(matrix, "logistic", cv=2)
    explainer = Explainer(model)
    assert explainer.method == ACTIVATION
    decisions = model.pipeline_.decision_function(matrix.X)
    for index in range(4):
        found = explainer.explain(images, index)
        place = list(model.classes_).index(found.toward)
        assert found.label == found.toward == model.predict(matrix.X[index : index + 1])[0]
        assert found.map.shape == (12, 12) and np.ptp(found.map) > 0
        assert found.total == pytest.approx(decisions[index, place], abs=1e-4)
        assert found.decision == pytest.approx(decisions[index, place], abs=1e-4)
        probabilities = model.predict_proba(matrix.X[index : index + 1])[0]
        assert found.probabilities == pytest.approx(probabilities, abs=1e-4)


def test_adding_keeps_each_map_where_it_was():
    fine = np.zeros((4, 4))
    fine[0, 3] = 8.0
    added = add_maps([np.array([[1.0, 0.0], [0.0, 0.0]]), fine])
    assert added.mean() == pytest.approx(0.25 + 0.5)
    assert np.unravel_index(added.argmax(), added.shape) == (0, 3)
    assert added[0, 0] > added[3, 0]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("classifier", ["naive_bayes", "xgboost"])
def test_occlusion_finds_the_place_that_decides(classifier, monkeypatch):
    monkeypatch.setattr(
        engines, "make_engine", lambda backbone, *_, **__: GridEngine(backbone.features)
    )
    images = draw(signal=120)
    model = fit(extract(images, views=1), classifier, cv=2)
    explainer = Explainer(model)
    assert explainer.method == OCCLUSION
    # Class "ill" is bright in rows 4 to 12 of 32, columns 8 to 20; "well" is mapped.
    found = explainer.explain(images, int(np.flatnonzero(images.labels == 0)[0]))
    assert (found.label, found.toward, found.bias, found.total) == ("ill", "well", None, None)
    assert found.map.shape == (8, 8)
    row, column = np.unravel_index(found.map.argmin(), found.map.shape)
    assert found.map.min() < 0 and 0 <= row <= 3 and 1 <= column <= 5


def test_a_patch_is_distinct_from_its_neighbors():
    effects = np.zeros(49)
    effects[8] = 1.0
    spread = mean_effects(effects)
    assert np.argwhere(spread > 0).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert spread[1, 1] == 0.25


def test_features_of_no_network_have_no_map():
    images = draw(n=24)
    model = fit(control_matrix(images, "histogram"), "logistic", cv=2)
    with pytest.raises(UsageError, match="no network made"):
        Explainer(model)


@pytest.mark.usefixtures("quick")
def test_other_pooling_is_explained_by_occlusion():
    model = fit(extract(draw(n=24), views=1, pooling="max"), "logistic", cv=2)
    assert Explainer(model).method == OCCLUSION
