from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

import featx
from featx import FeatureExtractor
from featx.errors import FeatxError, UsageError


def test_paths_arrays_and_data_sets_give_the_rows_of_extract(images):
    expected = featx.extract(images, views=1, augmentation="none").X
    extractor = FeatureExtractor()
    np.testing.assert_array_equal(extractor.fit_transform(images), expected)
    np.testing.assert_array_equal(extractor.transform([str(p) for p in images.sources]), expected)
    arrays = np.stack([images.read(index) for index in range(len(images))])
    np.testing.assert_array_equal(extractor.transform(arrays), expected)


def test_views_are_averaged(images):
    extractor = FeatureExtractor(augmentation="radiograph", views=3).fit(None)
    rows = featx.extract(images, views=3).X.reshape(24, 3, -1)
    np.testing.assert_allclose(extractor.transform(images), rows.mean(axis=1), rtol=1e-6)


def test_it_lives_in_scikit_learn(images):
    paths = np.array([str(path) for path in images.sources], dtype=object)
    model = make_pipeline(FeatureExtractor(), LogisticRegression(max_iter=500))
    scores = cross_val_score(
        clone(model), paths, images.labels, groups=images.patients, cv=GroupKFold(3)
    )
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()


def test_what_it_cannot_take_is_told(images, image_folder):
    extractor = FeatureExtractor().fit(None)
    with pytest.raises(UsageError, match="paths of images"):
        extractor.transform([1, 2])
    with pytest.raises(FeatxError, match="do not exist"):
        extractor.transform(["absent.png"])
    (image_folder / "NORMAL" / "p00_0.png").write_bytes(b"")
    with pytest.raises(FeatxError, match="unreadable: the file is empty"):
        extractor.transform(images)
    with pytest.raises(UsageError, match="resnet5"):
        FeatureExtractor("resnet5").fit(None)
