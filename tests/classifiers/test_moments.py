"""Scaling and PCA from sums are those that scikit-learn fits to the rows themselves."""

import numpy as np
import pytest
from featx.classifiers.moments import Moments
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler


@pytest.fixture
def rows(generator):
    # Means far from 0 beside small spreads, as squared sums without a center would lose.
    rows = generator.normal(size=(300, 20)) @ generator.normal(size=(20, 20))
    rows += 1000 * generator.normal(size=20)
    rows[:, 7] = 3.3
    return rows.astype(np.float32)


def sums_of(rows, center):
    moments = Moments(center)
    for start in range(0, len(rows), 64):
        moments.add(rows[start : start + 64])
    return moments


def assert_fitted_to(compression, rows):
    scaler = StandardScaler().fit(rows.astype(np.float64))
    pca = PCA(6, svd_solver="full").fit(scaler.transform(rows.astype(np.float64)))
    for attribute in ("mean_", "var_", "scale_", "n_samples_seen_", "n_features_in_"):
        expected = getattr(scaler, attribute)
        np.testing.assert_allclose(getattr(compression["scale"], attribute), expected, rtol=1e-9)
    for attribute in (
        "components_",
        "explained_variance_",
        "explained_variance_ratio_",
        "singular_values_",
        "noise_variance_",
        "n_components_",
        "n_samples_",
    ):
        ours, expected = getattr(compression["compress"], attribute), getattr(pca, attribute)
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


def test_compression_is_that_of_scikit_learn(rows):
    compression = sums_of(rows, rows[0].astype(np.float64)).compression(6)
    assert_fitted_to(compression, rows)
    assert compression.transform(rows).dtype == np.float32


def test_sums_add_up_and_subtract(rows):
    center = rows[:10].mean(axis=0, dtype=np.float64)
    parts = [sums_of(part, center) for part in (rows[:90], rows[90:110], rows[110:])]
    whole = Moments.total(parts)
    assert_fitted_to(whole.compression(6), rows)
    assert_fitted_to(whole.without(parts[1]).compression(6), np.delete(rows, slice(90, 110), 0))
