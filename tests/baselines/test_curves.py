import math
import xml.etree.ElementTree as ElementTree

import numpy as np

from featx.baselines.curves import curves_svg

SVG = "{http://www.w3.org/2000/svg}"


def points(document):
    lines = ElementTree.fromstring(document).iter(f"{SVG}polyline")
    return [
        np.array([pair.split(",") for pair in line.get("points").split()], dtype=float)
        for line in lines
    ]


def history(**columns):
    names = ("accuracy", "val_accuracy", "loss", "val_loss")
    return {name: columns.get(name, [0.5, 0.6, 0.7]) for name in names}


def test_every_epoch_is_a_point_at_its_height():
    accuracy, validation, loss, _ = points(
        curves_svg(history(accuracy=[0.2, 0.6, 1.0], val_accuracy=[0.2, 0.4, 0.3]), "a", 2)
    )
    assert len(accuracy) == len(validation) == len(loss) == 3
    steps = np.diff(accuracy[:, 0])
    np.testing.assert_allclose(steps, steps[0])
    # SVG counts downwards: twice the rise is twice the way up.
    rises = -np.diff(accuracy[:, 1])
    np.testing.assert_allclose(rises[0], rises[1], atol=0.2)
    np.testing.assert_allclose(validation[1, 1], (accuracy[0, 1] + accuracy[1, 1]) / 2, atol=0.2)


def test_an_exploding_loss_is_drawn_on_a_logarithmic_scale():
    document = curves_svg(history(loss=[0.1, 1.0, 10.0], val_loss=[0.1, 100.0, 10.0]), "a", 1)
    assert "Loss (logarithmic)" in document
    loss = points(document)[2]
    rises = -np.diff(loss[:, 1])
    np.testing.assert_allclose(rises[0], rises[1], atol=0.2)


def test_what_is_not_a_number_is_left_out():
    document = curves_svg(history(val_loss=[0.5, math.nan, math.inf]), "a", 1)
    assert "nan" not in document
    assert "inf" not in document
    assert [len(line) for line in points(document)] == [3, 3, 3, 1]


def test_one_epoch_and_odd_titles_still_make_a_document():
    document = curves_svg({name: [0.5] for name in history()}, "a < b & c", 1)
    root = ElementTree.fromstring(document)
    assert root.find(f"{SVG}title").text.startswith("a < b & c")
    assert "nan" not in document
