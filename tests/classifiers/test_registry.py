import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from featx.classifiers.registry import COMPONENTS, get_classifier, list_classifiers
from featx.errors import UsageError


def test_unknown_name_with_hint():
    with pytest.raises(UsageError, match=r"'logistics'; did you mean 'logistic'\? \(known: svm, "):
        get_classifier("logistics")


@pytest.mark.parametrize("spec", list_classifiers(), ids=lambda spec: spec.name)
@pytest.mark.parametrize("shape", [(4, 3), (12, 40), (400, 250)])
def test_every_candidate_fits_every_shape(spec, shape):
    generator = np.random.default_rng(0)
    y = np.arange(shape[0]) % 2
    X = generator.normal(size=shape) + y[:, None]
    pipeline = spec.make(shape, 0)
    assert isinstance(pipeline.steps[0][1], StandardScaler)
    first, *_, last = spec.candidates(shape)
    for parameters in (first, last):
        pipeline.steps[-1][1].set_params(**parameters)
        assert set(pipeline.fit(X, y).predict(X)) <= {0, 1}
    if shape[1] > COMPONENTS and "compress" in pipeline.named_steps:
        assert pipeline[:-1].transform(X).shape[1] == COMPONENTS


def test_records_are_shown_in_a_line():
    assert repr(get_classifier("knn")) == "<ClassifierSpec knn: k nearest neighbors>"


def test_balanced_weights_make_naive_bayes_uniform():
    spec = get_classifier("naive_bayes")
    y = np.repeat([0, 1], [20, 80])
    X = np.random.default_rng(0).normal(size=(100, 5)) + y[:, None]
    weights = np.where(y == 0, 100 / 40, 100 / 160)
    pipeline = spec.make(X.shape, 0).fit(X, y, classify__sample_weight=weights)
    assert pipeline[-1].class_prior_ == pytest.approx([0.5, 0.5])
