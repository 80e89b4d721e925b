import json

import pytest

from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.presets import read_config
from featx.errors import UsageError
from featx.images.augmentation import Augmentation
from tests.benchmarking.conftest import draw

FAST = {"classifiers": "naive_bayes", "views": 1, "test_size": 0.3, "cv": 3, "controls": False}


def test_settings_reach_the_part_that_they_belong_to():
    config = BenchmarkConfig(classifiers="svm").with_settings(
        views=2, cv=3, random_state=7, repeats=2
    )
    assert config.classifiers == ("svm",)
    assert (config.extraction.views, config.fit.cv, config.repeats) == (2, 3, 2)
    assert config.extraction.random_state == config.fit.random_state == 7


def test_settings_that_change_no_number_are_not_in_the_key():
    config = BenchmarkConfig().with_settings(n_jobs=2)
    assert config.fit.n_jobs == 2
    assert config.fit_settings == BenchmarkConfig().fit_settings
    assert config.with_settings(search_rows=50).fit_settings != config.fit_settings


def test_the_precision_of_a_name_wins_over_the_setting():
    config = BenchmarkConfig(("vgg16", "vgg16@float32")).with_settings(precision="float16")
    assert config.row_backbones == ("vgg16@float16", "vgg16")
    assert BenchmarkConfig.from_dict(config.to_dict()).row_backbones == config.row_backbones


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vieuws": 2}, "no setting of a benchmark 'vieuws'; did you mean 'views'"),
        ({"backbones": "vgg61"}, "vgg61"),
        ({"classifiers": "svn"}, "did you mean 'svm'"),
        ({"leaks": "ignore"}, "ignore"),
        ({"repeats": 0}, "at least 1"),
        ({"classifiers": ()}, "nothing to compare"),
        ({"weights": "file"}, "whose path is not recorded"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        BenchmarkConfig().with_settings(**settings)


@pytest.mark.usefixtures("quick")
def test_a_run_is_given_again_with_one_word_changed(tmp_path):
    images = draw()
    first = benchmark(images, **FAST, random_state=3, learning_curve=False, out=tmp_path / "a")
    settings = read_config(tmp_path / "a" / "run.json")
    again = benchmark(images, config=settings)
    assert [row.scores for row in again] == [row.scores for row in first]
    other = benchmark(images, config=settings, classifiers="knn")
    assert [row.classifier for row in other] == ["knn"]
    expected = benchmark(images, **FAST | {"classifiers": "knn"}, random_state=3)
    assert [row.scores for row in other] == [row.scores for row in expected]


@pytest.mark.usefixtures("quick")
def test_two_runs_leave_the_same_files_except_for_times(tmp_path):
    # The second run into a folder finds its rows.
    for name in ("a", "b", "a"):
        benchmark(draw(), **FAST, learning_curve=False, out=tmp_path / name)
    runs = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("a", "b")]
    for run in runs:
        del run["started"], run["seconds"]
    assert runs[0] == runs[1]


def test_settings_of_the_version_before_are_read(tmp_path):
    stored = {"backbones": ["vgg16"], "normalisation": "clahe", "seed": 5, "folds": 3}
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "settings": stored}))
    config = BenchmarkConfig.from_dict(read_config(tmp_path / "run.json"))
    assert (config.random_state, config.fit.cv) == (5, 3)
    assert config.extraction.normalization == "clahe"
    config = config.with_settings(augmentation=Augmentation(rotation=5.0), views=2)
    assert BenchmarkConfig.from_dict(config.to_dict()).extraction == config.extraction


def test_yaml_is_read_and_other_files_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("views: 2\nclassifiers: [svm, knn]\n")
    assert read_config(tmp_path / "a.yaml") == {"views": 2, "classifiers": ["svm", "knn"]}
    for content in ("[1, 2]", "a: [", ""):
        (tmp_path / "b.yaml").write_text(content)
        with pytest.raises(UsageError, match=r"b\.yaml"):
            read_config(tmp_path / "b.yaml")


@pytest.mark.usefixtures("quick")
def test_external_sets_named_by_the_settings_must_be_given():
    with pytest.raises(UsageError, match="--external other=FOLDER"):
        benchmark(draw(), config={**FAST, "externals": ["other"]})
