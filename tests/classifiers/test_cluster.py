"""Fits on the worker processes of a Dask cluster are those of this process."""

import json
import logging

import numpy as np
import pytest

import featx
from featx.classifiers.boosting import BoostedTrees
from featx.classifiers.training_set import TrainingSet
from featx.cli import main
from tests.classifiers.makers import make_matrix

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_the_model_is_the_same_and_the_matrix_travels_once_a_stage(client, monkeypatch):
    matrix = make_matrix()
    expected = featx.fit(matrix, "naive_bayes", n_jobs=1)
    sent = []
    scatter = client.scatter

    def counting(data, **settings):
        sent.append(data)
        return scatter(data, **settings)

    monkeypatch.setattr(client, "scatter", counting)
    model = featx.fit(matrix, "naive_bayes", client=client)
    np.testing.assert_allclose(model.out_of_fold_, expected.out_of_fold_, atol=1e-6)
    assert model.best_params_ == expected.best_params_
    # Once to search, once to refit, whatever the number of fits.
    assert sum(isinstance(data, TrainingSet) for data in sent) == 2


def test_the_command_fits_on_a_scheduler(client, tmp_path, capsys):
    make_matrix().save(tmp_path / "matrix.h5")
    address = client.scheduler.address
    arguments = ["fit", tmp_path / "matrix.h5", "--classifier", "naive_bayes", "--json"]
    arguments += ["--out", tmp_path / "models", "--scheduler", address]
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert not ended.value.code
    written = capsys.readouterr()
    assert json.loads(written.out)[0]["classifier"] == "naive_bayes"
    assert "2 workers" in written.err


def test_trees_grown_on_two_workers_are_those_grown_here(client):
    matrix = make_matrix(n_images=300, features=8, strength=0.5)
    trees = BoostedTrees(n_estimators=10, max_depth=2)
    weights = np.ones(len(matrix))
    here = trees.fit(matrix.X, matrix.row_labels, weights).predict_proba(matrix.X)
    blocks = [slice(start, start + 100) for start in range(0, len(matrix), 100)]
    labeled = ((matrix.X[b], matrix.row_labels[b], weights[b]) for b in blocks)
    there = BoostedTrees(n_estimators=10, max_depth=2).fit_on_cluster(client, labeled)
    assert there.classes_.tolist() == [0, 1]
    assert np.corrcoef(there.predict_proba(matrix.X)[:, 1], here[:, 1])[0, 1] > 0.98


def test_trees_learn_from_all_rows_where_these_are_too_many_for_one_worker(client, monkeypatch):
    matrix = make_matrix(n_images=900, features=64, strength=0.3)
    learned = []

    def fit_on_cluster(trees, of_cluster, blocks):
        assert of_cluster is client
        rows, labels, weights = map(np.concatenate, zip(*blocks, strict=True))
        learned.append(len(rows))
        return trees.set_params(n_estimators=5).fit(rows, labels, weights)

    monkeypatch.setattr(BoostedTrees, "fit_on_cluster", fit_on_cluster)
    monkeypatch.setattr("featx.classifiers.memory_plan.memory_of_a_fit", lambda _: 1_300_000)
    model = featx.fit(matrix, "xgboost", client=client)
    assert model.provenance_["streamed"]["rows_at_most"] < 1000
    assert learned[0] == 1800
    assert sum(learned[1:]) == 4 * 1800
