import math

import numpy as np

from featx.baselines.diagnosis import diagnose

LABELS = np.array([0] * 6 + [1] * 10)
NAMES = ("NORMAL", "PNEUMONIA")
FINE = {"loss": [0.6, 0.4, 0.3], "val_loss": [0.6, 0.5, 0.45], "val_auc": [0.8, 0.9, 0.9]}


def probabilities(positive):
    positive = np.broadcast_to(positive, len(LABELS)).astype(float)
    return np.column_stack([1 - positive, positive])


def test_nothing_is_said_of_a_good_network():
    assert diagnose(FINE, LABELS, probabilities(np.where(LABELS, 0.8, 0.3)), NAMES) == []


def test_one_class_for_everything_is_named_with_its_proportion_and_first_epoch():
    history = FINE | {"val_majority": [0.6, 1.0, 1.0]}
    (line,) = diagnose(history, LABELS, probabilities(0.9), NAMES)
    assert line.startswith("Collapsed: all 16 validation images are called PNEUMONIA")
    assert "62 %" in line and "AUC 0.50" in line
    assert line.endswith("The first epoch to do so is 2 of 3.")


def test_one_class_with_a_good_ranking_is_not_called_a_collapse():
    (line,) = diagnose(FINE, LABELS, probabilities(np.where(LABELS, 0.9, 0.7)), NAMES)
    assert line.startswith("Off center")
    assert "AUC 1.00" in line


def test_explosion_names_its_first_epoch():
    history = {"loss": [0.6, 0.5, 0.5], "val_loss": [0.7, 131.0, 7905.0], "val_auc": [0.5] * 3}
    good = probabilities(np.where(LABELS, 0.8, 0.3))
    lines = diagnose(history, LABELS, good, NAMES)
    assert lines[0] == "Validation loss exploded in epoch 2: 131.00, where guessing costs 0.69."
    history["val_loss"][1] = math.nan
    assert "epoch 2: not a number" in diagnose(history, LABELS, good, NAMES)[0]


def test_overfitting_is_named_only_where_training_goes_on_to_improve():
    good = probabilities(np.where(LABELS, 0.8, 0.3))
    history = {"loss": [0.6, 0.4, 0.1], "val_loss": [0.6, 0.5, 0.9], "val_auc": [0.8, 0.9, 0.7]}
    (line,) = diagnose(history, LABELS, good, NAMES)
    assert line.startswith("Training and validation loss diverge after epoch 2")
    for kept_up in ({"loss": [0.6, 0.4, 0.5]}, {"val_auc": [0.8, 0.9, 0.9]}):
        assert diagnose(history | kept_up, LABELS, good, NAMES) == []
