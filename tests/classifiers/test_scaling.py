"""Features of a tuned network share one scale, those of others have one each."""

import numpy as np
import pytest

from featx.classifiers.fitting import fit
from featx.classifiers.model_file import load_model
from featx.classifiers.out_of_core import CovarianceAccumulator
from featx.classifiers.scaling import BlockScaler
from tests.classifiers.makers import RECIPE, make_matrix

TUNED = {**RECIPE, "backbone": "tuned:vgg16"}


@pytest.fixture
def matrix():
    """Features of a tuned network, of which few are large and tell the classes apart."""
    noise = np.random.default_rng(1).normal(size=(90, 512)).astype(np.float32)
    noise[:, :4] += 6 * (np.arange(90)[:, None] // 2 % 2)
    noise[:, 4:] *= 0.05
    return make_matrix(views=1, X=noise, view=np.zeros(90, int), image=np.arange(90),
                       recipes=(TUNED,))  # fmt: skip


def test_columns_of_a_block_share_the_root_of_their_mean_variance():
    X = np.random.default_rng(0).normal(size=(50, 4)) * [1, 2, 3, 4]
    scaler = BlockScaler(((1, 3),)).fit(X)
    shared = np.sqrt((X[:, 1].var() + X[:, 2].var()) / 2)
    assert np.allclose(scaler.scale_, [X[:, 0].std(), shared, shared, X[:, 3].std()])
    assert np.allclose(scaler.transform(X)[:, 1].mean(), 0)


def test_every_way_of_fitting_keeps_what_tuning_made_large(matrix, tmp_path):
    model = fit(matrix, "logistic", cv=2, n_jobs=1)
    scaler = model.pipeline_.named_steps["scale"]
    assert np.allclose(scaler.scale_, np.sqrt(matrix.X.var(axis=0).mean()), rtol=1e-4)
    beyond_memory = CovarianceAccumulator(matrix.X[0].astype(np.float64))
    beyond_memory.add(matrix.X)
    steps = beyond_memory.pipeline(2, scaler.blocks)
    assert np.allclose(steps["scale"].scale_, scaler.scale_, rtol=1e-4)
    # The components are those of the features as scaled: the few that are large.
    assert np.abs(steps["compress"].components_[0, :4]).min() > 0.4
    model.save(tmp_path / "m.skops")
    again = load_model(tmp_path / "m.skops")
    assert np.array_equal(again.predict_images(matrix), model.predict_images(matrix))


def test_features_of_other_networks_are_standardized_each(matrix):
    frozen = make_matrix(features=512, views=1)
    scaler = fit(frozen, "logistic", cv=2, n_jobs=1).pipeline_.named_steps["scale"]
    assert np.allclose(scaler.scale_, frozen.X.std(axis=0), rtol=1e-4)
    joined = fit(
        make_matrix(
            views=1,
            X=np.hstack([frozen.X, matrix.X]),
            recipes=({**RECIPE, "backbone": "vgg16"}, TUNED),
        ),
        "svm", cv=2, n_jobs=1,
    )  # fmt: skip
    scale = joined.pipeline_.named_steps["scale"].scale_
    assert np.allclose(scale[:512], frozen.X.std(axis=0), rtol=1e-4)
    assert len(np.unique(scale[512:])) == 1
