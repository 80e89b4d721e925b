"""Models of image features and columns of a table."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.classifiers.model_file import load_model
from featx.classifiers.registry import CLASSIFIERS
from featx.errors import FeatxError, UsageError
from tests.classifiers.makers import make_matrix
from tests.classifiers.test_model_file import rewrite

RECIPE = {"backbone": "columns", "format": 1}
AGE = {"name": "age"}
SEX = {"name": "sex", "categories": ["F", "M"]}


def with_table(matrix, *entries, alone=False, strength=1.0):
    """Add columns to a matrix: an age that says something of the class, and a random sex."""
    generator = np.random.default_rng(1)
    age = matrix.labels * strength + generator.normal(size=matrix.n_images)
    sex = generator.integers(0, 2, matrix.n_images).astype(float)
    age[::7] = sex[::9] = np.nan
    values = {"age": age, "sex": sex}
    block = np.array([values[entry["name"]] for entry in entries], np.float32).T[matrix.image]
    recipes = () if alone else matrix.recipes
    X = block if alone else np.concatenate([matrix.X, block], axis=1)
    return replace(matrix, X=X, recipes=(*recipes, {**RECIPE, "columns": list(entries)}))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("alone", [False, True])
def test_a_saved_model_predicts_as_before(tmp_path, classifier, alone):
    matrix = with_table(make_matrix(n_images=60, views=1), AGE, SEX, alone=alone)
    model = featx.fit(matrix, classifier, cv=2, n_jobs=1)
    model.save(tmp_path / "model.skops")
    again = load_model(tmp_path / "model.skops")
    expected = model.predict_images(matrix)
    assert np.array_equal(again.predict_images(matrix), expected) and np.isfinite(expected).all()
    assert (model.typicality_ is None) == alone
    if alone:
        assert again.feature_names_in_.tolist() == ["column_age", "column_sex"]


def test_a_column_counts_beside_many_features():
    noise = make_matrix(n_images=80, views=1, features=400, strength=0)
    without = featx.fit(noise, "logistic", cv=3, n_jobs=1)
    joined = featx.fit(with_table(noise, AGE, strength=2), "logistic", cv=3, n_jobs=1)
    areas = [model.provenance_["auc_out_of_fold"] for model in (without, joined)]
    assert areas[0] < 0.65 < 0.75 < areas[1]


def test_preparation_is_fitted_inside_the_folds():
    # Were the mean or the scale of the other fold known, the out-of-fold scores would differ.
    matrix = with_table(make_matrix(n_images=60, views=1), AGE, SEX)
    model = featx.fit(matrix, "logistic", cv=2, n_jobs=1)
    from featx.classifiers.config import FitConfig
    from featx.classifiers.registry import get_classifier
    from featx.classifiers.search import Search
    from featx.classifiers.training_set import TrainingSet

    search = Search(get_classifier("logistic"), TrainingSet.of(matrix), FitConfig(cv=2, n_jobs=1))
    training, held_out = search.folds[0]
    part = TrainingSet.of(matrix.select_images(training))
    alone = Search(get_classifier("logistic"), part, FitConfig(cv=2, n_jobs=1))
    pipeline = alone.fit(model.best_params_)
    expected = pipeline.decision_function(matrix.select_images(held_out).X)
    assert model.out_of_fold_scores_[held_out] == pytest.approx(expected, abs=1e-3)
    numbers = pipeline["columns"].named_transformers_["numbers"]
    age = matrix.X[training, -2]
    assert numbers["impute"].statistics_[0] == pytest.approx(np.nanmean(age))


def test_beyond_memory_is_refused():
    matrix = with_table(make_matrix(n_images=60, views=4, features=3000), AGE)
    with pytest.raises(UsageError, match="fitted in memory only"):
        featx.fit(matrix, "logistic", cv=2, n_jobs=1, memory="1MB")


def test_no_place_explains_such_a_model():
    matrix = with_table(make_matrix(n_images=40, views=1), AGE)
    model = featx.fit(matrix, "naive_bayes", cv=2, n_jobs=1)
    with pytest.raises(UsageError, match="columns of a table beside images"):
        featx.explain(model, np.zeros((1, 8, 8), np.uint8))


def changed_arrays(path):
    """Yield the name of each small array of a model, and it with another length or NaN."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                values = np.load(io.BytesIO(archive.read(name)))
                if values.ndim == 1 and values.dtype.kind == "f" and 0 < len(values) < 4:
                    yield name, np.concatenate([values, values])


def test_tampered_models_are_refused(tmp_path):
    matrix = with_table(make_matrix(n_images=40, views=1), AGE, SEX, alone=True)
    path = tmp_path / "model.skops"
    featx.fit(matrix, "naive_bayes", cv=2, n_jobs=1).save(path)
    whole = path.read_bytes()
    expected, found, refused = load_model(path).predict_images(matrix), [*changed_arrays(path)], 0
    for name, values in found:
        stream = io.BytesIO()
        np.save(stream, values)
        path.write_bytes(whole)
        rewrite(path, **{name: stream.getvalue()})
        try:
            # Some arrays are not used by predictions.
            assert np.array_equal(load_model(path).predict_images(matrix), expected)
        except FeatxError:
            refused += 1
    assert refused >= 6
