"""Rows of columns of a table: beside images, and alone."""

from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.benchmarking.benchmark import benchmark
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.reporting.results_folder import read_results
from tests.benchmarking.conftest import draw

FAST = {"classifiers": ["logistic"], "views": 1, "controls": False, "learning_curve": False}
FAST |= {"covariates": "age,sex", "cv": 3, "n_jobs": 1}


def columns_for(images, random_state=0):
    generator = np.random.default_rng(random_state)
    age = np.round(40 + 12 * images.labels + generator.normal(0, 10, len(images)), 1)
    sex = generator.choice(["F", "M", ""], len(images))
    return {"age": np.where(age > 60, "", age.astype(str)), "sex": sex}


def drawn(**settings):
    images = draw(**settings)
    return replace(images, columns=columns_for(images))


@pytest.mark.usefixtures("quick")
def test_images_and_columns_are_compared_with_columns_alone(tmp_path, caplog, monkeypatch):
    externals = {"same": drawn(random_state=1), "bare": draw(random_state=2)}
    images = drawn(signal=20)
    settings = {**FAST, "externals": externals, "out": tmp_path, "repeats": 2}
    table = benchmark(images, **settings)
    assert [(row.backbone, row.kind) for row in table] == [
        ("efficientnet_lite0", "frozen"),
        ("efficientnet_lite0+columns", "columns"),
        ("columns", "columns"),
    ]
    image, joined, alone = table
    assert list(image.externals) == ["same", "bare"] and list(alone.externals) == ["same"]
    assert "Models with columns are not evaluated on bare" in caplog.text
    assert joined.costs.n_features == image.costs.n_features + 2 and alone.costs.n_features == 2
    found = joined.columns_alone
    assert found.other == alone.name and image.columns_alone is None is alone.columns_alone
    assert found.differences["auc"].value == pytest.approx(joined.auc - alone.auc)
    (note,) = (note for note in table.notes if note.kind == "columns")
    assert note.values["columns"] == ["age", "sex"] and "what the images add" in note.text
    assert note.text.split(" (")[0] in (tmp_path / "report.html").read_text()
    assert list(read_results(tmp_path).rows) == list(table)
    assert "Columns of a table: age and sex" in (tmp_path / f"models/{joined.name}.md").read_text()
    # The second run finds its rows; one with other values does not.
    monkeypatch.setattr("featx.classifiers.fitting.fit_rows", None)
    assert list(benchmark(images, **settings)) == list(table)
    with pytest.raises(TypeError):
        benchmark(replace(images, columns=columns_for(images, 1)), **settings)


@pytest.mark.usefixtures("quick")
def test_saved_models_predict_on_tables(tmp_path):
    images = drawn()
    table = benchmark(images, **FAST, out=tmp_path)
    others = drawn(random_state=3, n=8)
    for row in table[1:]:
        model = featx.load_model(tmp_path / "models" / f"{row.name}.skops")
        expected = featx.predict(model, others).probabilities
        assert expected.shape == (8, 2)
        with pytest.raises(UsageError, match="no column 'sex'"):
            featx.predict(model, replace(others, columns={"age": others.columns["age"]}))
    scores = featx.evaluate(model, others)
    assert scores.n == 8


def test_settings_name_the_columns(tmp_path):
    config = featx.BenchmarkConfig(covariates="age, site=category")
    assert config.covariates == ("age", "site=category")
    assert config.keep_columns == config.opening.keep_columns == ("age", "site")
    assert featx.BenchmarkConfig.from_dict(config.to_dict()) == config
    with pytest.raises(UsageError, match="no column 'age', 'sex'"):
        benchmark(draw(), **FAST)
    with pytest.raises(UsageError, match="is not a table, and has no column 'age'"):
        ImageDataset.open(tmp_path, keep_columns="age")
