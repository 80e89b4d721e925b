import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from featx.errors import UsageError
from featx.metrics.operating_point import OperatingPoint, decide

CRITERIA = ["youden", "f1", "sensitivity=0.9", "sensitivity=0.6", "specificity=0.8", "cost=7:2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("youden", ("youden", 0.0)),
        (" F1 ", ("f1", 0.0)),
        ("0.5", ("fixed", 0.5)),
        (0.3, ("fixed", 0.3)),
        ("sensitivity=0.95", ("sensitivity", 0.95)),
        ("specificity=.9", ("specificity", 0.9)),
        ("cost=10:4", ("cost", 2.5)),
    ],
)
def test_parse(text, expected):
    assert OperatingPoint.parse(text) == OperatingPoint(*expected)


@pytest.mark.parametrize(
    "text",
    [
        *["", "best", "1.5", "0", "nan", "sensitivity", "sensitivity=", "sensitivity=95", "f1=0.5"],
        *["cost=5", "cost=5:0", "cost=-1:2", "cost=a:b", "cost=1:2:3", "cost=nan:1", "0.5=0.5"],
    ],
)
def test_parse_refuses(text):
    with pytest.raises(UsageError, match="operating point"):
        OperatingPoint.parse(text)


def rates(positive, probability, threshold):
    """Hits, misses, false alarms, correct rejections, counted one by one."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for truth, value in zip(positive, probability, strict=True):
        counts[bool(truth), bool(value >= threshold)] += 1
    return tuple(counts.values())


def worth(text, positive, probability, threshold):
    """How good a threshold is, in the order in which thresholds are preferred."""
    hits, misses, alarms, rejections = rates(positive, probability, threshold)
    sensitivity, specificity = hits / (hits + misses), rejections / (rejections + alarms)
    if text == "youden":
        return round(sensitivity + specificity, 9), -threshold
    if text == "f1":
        return round(2 * hits / (2 * hits + alarms + misses), 9), -threshold
    if text.startswith("sensitivity"):
        return sensitivity >= float(text.partition("=")[2]), specificity, threshold
    if text.startswith("specificity"):
        return specificity >= float(text.partition("=")[2]), sensitivity, -threshold
    return -(7 * misses + 2 * alarms), -threshold


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(CRITERIA),
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(np.linspace(0, 1, 9).tolist())),
        min_size=2,
        max_size=25,
    ).filter(lambda images: len({truth for truth, _ in images}) == 2),
)
def test_as_brute_force(text, images):
    positive, probability = (np.array(column) for column in zip(*images, strict=True))
    edges = np.unique([0.0, *probability, 1.0])
    every = [*(edges[:-1] + edges[1:]) / 2, np.nextafter(1.0, 2.0), 0.0]
    best = max(worth(text, positive, probability, threshold)[:-1] for threshold in every)
    chosen = OperatingPoint.parse(text).threshold(positive, probability)
    assert worth(text, positive, probability, chosen)[:-1] == best
    equal = [t for t in every if worth(text, positive, probability, t)[:-1] == best]
    preferred = max(equal, key=lambda t: worth(text, positive, probability, t))
    assert rates(positive, probability, chosen) == rates(positive, probability, preferred)


def test_neighbors_without_a_middle():
    low = 0.25
    high = np.nextafter(low, 1)
    threshold = OperatingPoint.parse("youden").threshold([False, True], [low, high])
    assert low < threshold <= high


def test_decisions():
    table = [[0.7, 0.3], [0.5, 0.5], [0.2, 0.8]]
    assert decide(table, 0.5).tolist() == [0, 1, 1]
    assert decide(table, None).tolist() == [0, 0, 1]
    assert decide([[0.2, 0.5, 0.3]], 0.1).tolist() == [1]


def test_cutoffs_undo_what_calibration_does_to_rare_classes():
    generator = np.random.default_rng(0)
    shares = np.array([0.62, 0.33, 0.05])
    labels = generator.choice(3, size=20_000, p=shares)
    evidence = generator.normal(size=(20_000, 3)) + 1.2 * np.eye(3)[labels]
    calibrated = shares * np.exp(1.2 * evidence)
    calibrated /= calibrated.sum(axis=1, keepdims=True)
    youden = OperatingPoint("youden")
    assert youden.cutoffs(labels, calibrated) == pytest.approx(shares, rel=0.05)
    # With few images, another power is often a little better by chance.
    kept = 0
    for some in np.array_split(np.arange(20_000), 40):
        few = np.bincount(labels[some]) / 500
        kept += youden.cutoffs(labels[some], calibrated[some]) == pytest.approx(few)
    assert kept >= 36
    # Probabilities that know nothing of the class proportions need no cutoffs.
    uniform = calibrated / shares
    uniform /= uniform.sum(axis=1, keepdims=True)
    assert youden.cutoffs(labels, uniform) == pytest.approx([1 / 3] * 3, abs=0.15)
    for probabilities in (calibrated, uniform):
        called = decide(probabilities, youden.cutoffs(labels, probabilities))
        assert called.tolist() != calibrated.argmax(axis=1).tolist()
        recalls = recall_score(labels, called, average=None)
        assert recalls.min() > 0.6
    assert OperatingPoint("fixed", 0.5).cutoffs(labels, calibrated) is None


def test_two_cutoffs_decide_as_one_threshold():
    probabilities = np.random.default_rng(1).dirichlet([1, 1], size=200)
    assert (decide(probabilities, (0.7, 0.3)) == decide(probabilities, 0.3)).all()
