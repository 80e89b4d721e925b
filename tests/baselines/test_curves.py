import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np

from featx.baselines.curves import curves_svg, epochs_plot

NAMES = ("accuracy", "val_accuracy", "loss", "val_loss")


def history(**columns):
    return {name: columns.get(name, [0.5, 0.6, 0.7]) for name in NAMES}


def heights(document, style):
    """Vertical coordinates of the curves of a style, from the top."""
    lines = re.findall(rf'class="line {style} d." d="M([^"]+)"', document)
    return [np.array([float(p.split()[1]) for p in line.split("L") if p]) for line in lines]


def test_every_epoch_is_a_point_at_its_height():
    curves = history(accuracy=[0.2, 0.6, 1.0], val_accuracy=[0.2, 0.4, 0.3])
    document = curves_svg(curves, "a", 2)
    training, _ = heights(document, "c1")
    validation, _ = heights(document, "c0")
    rises = -np.diff(training)
    np.testing.assert_allclose(rises[0], rises[1], atol=0.2)
    np.testing.assert_allclose(validation[1], (training[0] + training[1]) / 2, atol=0.2)


def test_an_exploding_loss_is_drawn_on_a_logarithmic_scale():
    document = curves_svg(history(loss=[0.1, 1.0, 10.0], val_loss=[0.1, 100.0, 10.0]), "a", 1)
    assert "Loss (logarithmic)" in document
    rises = -np.diff(heights(document, "c1")[1])
    np.testing.assert_allclose(rises[0], rises[1], atol=0.2)


def test_values_that_are_not_finite_are_left_out():
    document = curves_svg(history(val_loss=[0.5, math.nan, math.inf]), "a", 1)
    assert len(heights(document, "c0")[1]) == 1
    assert len(re.findall('class="point c0"', document)) == 4


def test_one_epoch_and_odd_titles_still_make_a_document():
    document = curves_svg({name: [0.5] for name in NAMES}, "a < b & c", 1)
    title = ElementTree.fromstring(document).find("{http://www.w3.org/2000/svg}title")
    assert "a < b & c" in title.text


def test_a_history_without_a_figure_has_no_plot():
    assert epochs_plot({"epoch": [1.0]}, "auc", "cnn") is None
    assert "from 0.500 to 0.900" in epochs_plot({"val_auc": [0.5, 0.9]}, "auc", "cnn").svg()
