import pickle

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import Pipeline

import featx
from featx import FeatureExtractor
from featx.errors import FeatxError, UsageError
from featx.features.cache import file_hashes

FOLDS = StratifiedGroupKFold(3)
LITE0 = "efficientnet_lite0_cd19313a"


pytestmark = pytest.mark.usefixtures("quick")


def pipeline(**settings):
    return Pipeline(
        [
            ("extract", FeatureExtractor(**settings)),
            ("classify", LogisticRegression(C=1e-9, max_iter=500)),
        ]
    )


def test_images_in_any_form_give_the_rows_of_extract(images):
    pandas = pytest.importorskip("pandas")
    expected = featx.extract(images, views=1, augmentation="none").X
    extractor = FeatureExtractor()
    texts = [str(path) for path in images.sources]
    given = {
        "part of a data set": images[:],
        "paths": list(images.sources),
        "tuple": tuple(texts),
        "column": np.array(texts)[:, None],
        "series": pandas.Series(texts),
        "frame": pandas.DataFrame({"path": texts}),
        "arrays": [images.read(index) for index in range(len(images))],
    }
    for what, X in given.items():
        np.testing.assert_array_equal(extractor.transform(X), expected, err_msg=what)
    assert extractor.n_features_out_ == expected.shape[1]
    with pytest.raises(UsageError, match="there are no images"):
        extractor.transform([])


def test_views_are_averaged_or_stand_one_after_the_other(images):
    settings = {"augmentation": "radiograph", "views": 3}
    rows = featx.extract(images, **settings).X.reshape(24, 3, -1)
    averaged = FeatureExtractor(**settings).fit_transform(images)
    np.testing.assert_allclose(averaged, rows.mean(axis=1), rtol=1e-6)
    extractor = FeatureExtractor(combine="concatenate", **settings)
    np.testing.assert_array_equal(extractor.transform(images), rows.reshape(24, -1))
    names = extractor.get_feature_names_out()
    assert names[[0, 1280, -1]].tolist() == [
        f"view0_{LITE0}_0",
        f"view1_{LITE0}_0",
        f"view2_{LITE0}_1279",
    ]
    assert len(names) == extractor.n_features_out_ == 3 * 1280


def test_names_of_joined_backbones_and_quadrants_are_distinct():
    extractor = FeatureExtractor(
        ["efficientnet_lite0", "efficientnet_lite0@64"], pooling="quadrants"
    )
    names = extractor.get_feature_names_out()
    assert len(set(names)) == extractor.n_features_out_ == 2 * 4 * 1280
    digest = names[0].split("_")[2]
    assert names[1279:1281].tolist() == [
        f"efficientnet_lite0_{digest}_upper_left_1279",
        f"efficientnet_lite0_{digest}_upper_right_0",
    ]
    assert names[-1].endswith("_lower_right_1279") and digest not in names[-1]


def test_names_of_features_of_many_depths_hold_stage_and_statistic():
    extractor = FeatureExtractor(pooling="multi_depth")
    names = [name.split("_", 3)[3] for name in extractor.get_feature_names_out()]
    assert len(names) == extractor.n_features_out_ == 2 * (40 + 80 + 112 + 192 + 320 + 1280)
    assert names[39:41] == ["block4_add_mean_39", "block4_add_std_0"]
    assert (len(set(names)), names[-1]) == (len(names), "head_relu6_std_1279")


def test_data_frames_carry_the_names(images):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"path": [str(path) for path in images.sources], "age": range(24)})
    extractor = FeatureExtractor(["efficientnet_lite0", "mobilenetv2"], weights="random")
    expected = extractor.transform(images)
    columns = ColumnTransformer([("image", extractor, "path"), ("other", "passthrough", ["age"])])
    frame = columns.set_output(transform="pandas").fit_transform(table)
    names = featx.extract(images, ["efficientnet_lite0", "mobilenetv2"], weights="random", views=1)
    assert frame.columns.tolist() == [
        *(f"image__{name}" for name in names.feature_names),
        "other__age",
    ]
    np.testing.assert_array_equal(frame.to_numpy()[:, :-1], expected)


def test_clones_and_pickles_are_names_without_weights(images):
    model = pipeline().fit(images, images.labels)
    assert clone(model).get_params()["extract__backbones"] == "efficientnet_lite0"
    copy = pickle.dumps(model)
    assert len(copy) < 100_000
    np.testing.assert_array_equal(
        pickle.loads(copy).predict_proba(images), model.predict_proba(images)
    )


def scores(images, **settings):
    """Cross-validate by patient, with a score that any change of a feature changes."""
    return cross_val_score(
        pipeline(views=2, augmentation="radiograph", **settings),
        images,
        images.labels,
        groups=images.patients,
        cv=FOLDS,
        scoring="neg_log_loss",
    )


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_it_is_cross_validated_by_patient_in_threads_and_processes(images, backend, tmp_path):
    one = scores(images, cache=tmp_path / "one")
    # Processes are given the rows, since the quick network does not travel to them.
    with parallel_config(backend, n_jobs=2):
        two = scores(images, cache=tmp_path / ("two" if backend == "threading" else "one"))
    np.testing.assert_array_equal(one, two)


def test_backbones_are_searched_by_patient(images):
    small = "efficientnet_lite0@64"
    grid = {"extract__backbones": [small, "efficientnet_lite0@96", [small]]}
    search = GridSearchCV(pipeline(), grid, cv=FOLDS, error_score="raise")
    search.fit(images, images.labels, groups=images.patients)
    assert search.best_params_["extract__backbones"] in grid["extract__backbones"]
    results = search.cv_results_
    by_patient = [
        cross_val_score(
            pipeline(backbones=backbone), images, images.labels, groups=images.patients, cv=FOLDS
        ).mean()
        for backbone in grid["extract__backbones"]
    ]
    np.testing.assert_allclose(results["mean_test_score"], by_patient)
    assert search.predict(images[:5]).shape == (5,)
    assert search.best_estimator_[:-1].get_feature_names_out()[0].startswith("efficientnet_lite0")


def test_rehash_reads_files_anew(images, monkeypatch, hashed_names):
    monkeypatch.setattr(file_hashes, "GRANULARITY_SECONDS", -1.0)
    for rehash, expected in ((False, 24), (False, 24), (True, 48)):
        FeatureExtractor(rehash=rehash).transform(images)
        assert len(hashed_names) == expected


def test_files_that_cannot_be_read_are_errors(images, image_folder):
    with pytest.raises(FeatxError, match=r"1 files that do not exist, absent.png for one"):
        FeatureExtractor().transform([images.sources[0], "absent.png"])
    (image_folder / "NORMAL" / "p00_0.png").write_bytes(b"")
    with pytest.raises(FeatxError, match="unreadable: the file is empty"):
        FeatureExtractor().transform(images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbones": "resnet5"}, "did you mean 'resnet50'"),
        ({"combine": "mean"}, r"combination of views 'mean'.*average, concatenate"),
        ({"views": 2}, "draws no augmented views"),
        ({"precision": "int8"}, "featx quantize BACKBONE"),
    ],
)
def test_wrong_settings_are_refused_before_any_image_is_read(settings, message):
    with pytest.raises(UsageError, match=message):
        FeatureExtractor(**settings).fit(None)
