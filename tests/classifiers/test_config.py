import json

import pytest

import featx
from featx.errors import UsageError
from tests.classifiers.makers import make_matrix


def test_it_is_written_and_read_as_json():
    config = featx.FitConfig("logistic", cv=3, operating_point="cost=5:1", memory="8GiB", n_jobs=2)
    written = json.loads(json.dumps(config.to_dict()))
    assert featx.FitConfig.from_dict(written) == config
    assert featx.FitConfig.from_dict(written, cv=4).cv == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classifier": "vsm"}, "no classifier 'vsm'; did you mean 'svm'"),
        ({"calibration": "sigmoidal"}, "did you mean 'sigmoid'"),
        ({"operating_point": "best"}, "operating point 'best'"),
        ({"cv": 1}, "cv=1: at least 2"),
        ({"search_rows": 0}, "search_rows=0"),
        ({"random_state": -1}, "random_state=-1"),
        ({"n_jobs": 0}, "n_jobs=0"),
        ({"memory": "lots"}, "'lots' is not a size"),
        ({"fold": 3}, "no setting of a fit 'fold'"),
    ],
)
def test_wrong_settings_are_refused_at_once(settings, message):
    with pytest.raises(UsageError, match=message):
        featx.FitConfig.from_dict(settings)


def test_a_fit_by_config_is_one_by_keywords(tmp_path):
    matrix = make_matrix()
    matrix.save(tmp_path / "m.h5")
    config = featx.FitConfig(cv=3, random_state=4, n_jobs=1)
    by_config = featx.fit(tmp_path / "m.h5", "naive_bayes", config=config)
    by_name = featx.fit(matrix, ["naive_bayes", "knn"], cv=3, random_state=4, n_jobs=1)
    assert list(by_name) == ["naive_bayes", "knn"]
    assert by_config.provenance_ == by_name["naive_bayes"].provenance_
    assert by_config.get_params() == {**config.to_dict(), "classifier": "naive_bayes"}
    assert "FeatureClassifier('naive_bayes', classes=['BACTERIA', 'NORMAL']" in repr(by_config)
