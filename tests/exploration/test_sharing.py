"""Re-identification and protection against independent ground truth."""

import json

import numpy as np
import pytest

import featx
from featx.errors import UsageError
from featx.exploration import sharing
from featx.exploration.sharing import measure_sharing, nearest_other, protect
from tests.classifiers.makers import make_matrix


@pytest.fixture(autouse=True)
def _small_grid(monkeypatch):
    """Fewer fits."""
    monkeypatch.setattr(sharing, "_COMPONENTS", (None, 4))
    monkeypatch.setattr(sharing, "_BITS", (None,))


def brute_force(X, patients):
    """Rank-1 by the definition: one image after another, among all others."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    hits = []
    for i in range(len(Z)):
        if (patients == patients[i]).sum() < 2:
            continue
        cosines = [
            -2.0 if j == i else Z[i] @ Z[j] / np.linalg.norm(Z[i]) / np.linalg.norm(Z[j])
            for j in range(len(Z))
        ]
        hits.append(patients[int(np.argmax(cosines))] == patients[i])
    return np.mean(hits), len(hits)


def uneven_patients(n):
    """Patients of 1, 2, 3, 4, 1, 2, ... images."""
    sizes = np.tile([1, 2, 3, 4], n)
    return np.repeat([f"p{i:03d}" for i in range(len(sizes))], sizes)[:n]


def test_rank1_is_that_of_brute_force_on_the_mean_of_views():
    patients = uneven_patients(60)
    numbers = np.unique(patients, return_inverse=True)[1]
    X = np.random.default_rng(2).normal(size=(160, 24))
    X = (0.9 * X[100 + numbers] + X[:60]).repeat(2, axis=0)
    X += 0.7 * np.random.default_rng(4).normal(size=X.shape)
    matrix = make_matrix(60, views=2, patients=patients, X=X.astype(np.float32))
    found = measure_sharing(matrix)
    means = matrix.X.astype(np.float64).reshape(60, 2, -1).mean(axis=1)
    rate, queries = brute_force(means, matrix.patients)
    assert found.variants[0].rank1.value == pytest.approx(rate)
    assert found.queries == queries and found.views == 2
    assert 0.2 < rate < 0.9 and queries < found.images == 60
    # The chance of a random neighbor, pair by pair.
    pairs = matrix.patients[:, None] == matrix.patients
    np.fill_diagonal(pairs, False)
    assert found.chance == pytest.approx(pairs.sum(axis=1)[pairs.any(axis=1)].mean() / 59)


def test_features_that_encode_the_patient_give_one_and_noise_gives_chance():
    patients = uneven_patients(300)
    numbers = np.unique(patients, return_inverse=True)[1]
    generator = np.random.default_rng(3)
    codes = generator.normal(size=(numbers.max() + 1, 24))[numbers]
    noise = generator.normal(size=(300, 24))
    for X, low, high in ((codes + 0.01 * noise, 1.0, 1.0), (noise, 0.0, 0.1)):
        matrix = make_matrix(300, views=1, patients=patients, X=X.astype(np.float32))
        found = measure_sharing(matrix)
        plain = found.variants[0].rank1
        assert low <= plain.value <= high
        assert (plain.low <= found.chance <= plain.high) == (high < 1)


def test_ties_are_not_decided_by_the_order_of_files():
    """Two patients of two images share each vector; the first of a tie would give 0.5, not 1/3."""
    X = np.random.default_rng(0).normal(size=(75, 24)).repeat(4, axis=0).astype(np.float32)
    matrix = make_matrix(300, views=1, X=X, labels=np.full(300, -1))
    found = measure_sharing(matrix).variants[0]
    assert 0.26 < found.rank1.value < 0.4 and np.isnan(found.auc.value)


def test_components_are_those_of_the_singular_value_decomposition():
    matrix = make_matrix(40)
    X = matrix.X.astype(np.float64)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    U, scale, _ = np.linalg.svd(Z, full_matrices=False)
    written = protect(matrix, components=3).X
    np.testing.assert_allclose(np.abs(written), np.abs(U[:, :3] * scale[:3]), atol=1e-4)


@pytest.mark.parametrize("bits", [1, 4])
def test_rounding_takes_the_nearest_of_even_levels(bits):
    matrix = make_matrix(40)
    X = matrix.X.astype(np.float64)
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    levels = mean + deviation * np.linspace(-3, 3, 2**bits)[:, None]
    nearest = np.abs(X[None] - levels[:, None]).argmin(axis=0)
    expected = np.take_along_axis(levels, nearest, axis=0)
    np.testing.assert_allclose(protect(matrix, bits=bits).X, expected, rtol=1e-5, atol=1e-5)


def test_the_protected_features_are_written_and_measured(tmp_path, run_featx):
    matrix = make_matrix(60)
    matrix.save(tmp_path / "m.h5")
    words = ["export", tmp_path / "m.h5", "--out", tmp_path / "f.npy"]
    options = ["--components", 5, "--round", 5, "--share"]
    code, text, error = run_featx(*words, *options)
    assert code == 0, error
    written = np.load(tmp_path / "f.npy", allow_pickle=False)
    np.testing.assert_array_equal(written, protect(matrix, 5, 5).X)
    assert all(len(np.unique(column)) <= 32 for column in written.T)
    markdown = (tmp_path / "f.share.md").read_text()
    assert markdown in text and "personal data" in text
    record = json.loads((tmp_path / "f.share.json").read_text())
    exported = [row for row in record["variants"] if row["exported"]]
    assert [(row["components"], row["bits"], row["features"]) for row in exported] == [(5, 5, 5)]
    first = record["variants"][0]
    assert first["components"] is first["bits"] is None
    assert 0.9 < first["auc"] <= 1 and first["auc_low"] < first["auc"]
    # The written file gives the rate that was reported.
    rate, _ = brute_force(
        written.astype(np.float64).reshape(60, 2, -1).mean(axis=1), matrix.patients
    )
    assert exported[0]["rank1"] == pytest.approx(rate)
    (tmp_path / "f.npy").unlink()
    code, text, _ = run_featx(*words, *options, "--json")
    assert json.loads(text)["sharing"] == record


def test_auc_is_out_of_fold_by_patient():
    """A label that each patient has at random is only learned where patients leak."""
    patients = np.repeat([f"p{i:02d}" for i in range(60)], 3)
    generator = np.random.default_rng(1)
    X = np.repeat(generator.normal(size=(60, 30)), 3, axis=0)
    X += 0.01 * generator.normal(size=X.shape)
    labels = np.repeat(generator.integers(0, 2, 60), 3)
    matrix = make_matrix(180, views=1, patients=patients, labels=labels, X=X.astype(np.float32))
    plain = measure_sharing(matrix).variants[0]
    assert plain.rank1.value == 1 and plain.auc.low < 0.5 < plain.auc.high


def test_unknown_and_single_patients_are_refused(tmp_path):
    names = tuple(f"image{i}.png" for i in range(20))
    matrix = make_matrix(20, patients=np.array(names))
    with pytest.raises(UsageError, match=r"unknown.*--patients"):
        featx.export(matrix, tmp_path / "f.npy", share=True)
    matrix = make_matrix(20, patients=np.array([f"p{i}" for i in range(20)]))
    with pytest.raises(UsageError, match=r"no patient .* has several images"):
        featx.export(matrix, tmp_path / "f.npy", share=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"components": 25}, {"components": 0}, {"bits": 17}])
def test_options_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(UsageError, match="give a number from 1 to"):
        featx.export(make_matrix(20), tmp_path / "f.npy", **options)


def test_the_nearest_row_is_never_the_row_itself():
    assert nearest_other(np.ones((1030, 2)))[0] == 1
    assert not (nearest_other(np.ones((1030, 2))) == np.arange(1030)).any()
