import json
import re

import numpy as np
import pytest

from featx.exploration.map_page import TILE, Duplicate, Exploration, LabelIssue
from featx.features.matrix import FeatureMatrix
from tests.reporting.test_page import EVIL


def make_matrix():
    return FeatureMatrix(
        X=np.zeros((9, 1), dtype=np.float32),
        image=np.arange(9),
        view=np.zeros(9, dtype=np.int64),
        names=tuple(f"a/{EVIL}{number}.png" for number in range(9)),
        digests=tuple(map(str, range(9))),
        labels=np.array([0, 1, 0, 1, 0, 1, 0, 1, -1]),
        patients=np.array([f"{EVIL}{number // 2}" for number in range(9)]),
        splits=np.array(["train"] * 8 + [""]),
        class_names=("NORMAL", EVIL),
        recipes=({"backbone": EVIL},),
    )


def make_exploration(**changes):
    generator = np.random.default_rng(1)
    return Exploration(
        **{
            "matrix": make_matrix(),
            "method": "pca",
            "coordinates": generator.normal(size=(9, 2)),
            "explained": (0.5, 0.25),
            "neighbors": np.argsort(generator.random((9, 9)), axis=1)[:, :3],
            "distances": np.ones((9, 3)),
            "probabilities": np.vstack([np.tile([0.25, 0.75], (8, 1)), [np.nan, np.nan]]),
            "label_issues": (LabelIssue(2, "NORMAL", EVIL, 0.25),),
            "duplicates": (Duplicate(0, 1, "same pixels"),),
            "thumbnails": generator.integers(0, 256, (9, TILE, TILE), dtype=np.uint8),
            "notes": (EVIL,),
            **changes,
        }
    )


def saved(folder, **changes):
    """Write a page; return it and the data in it."""
    page = make_exploration(**changes).save(folder / "page.html").read_text()
    return page, json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def test_hostile_names_are_only_text_and_nothing_is_fetched(tmp_path):
    page, data = saved(tmp_path)
    assert EVIL not in page
    assert data["names"][3] == f"a/{EVIL}3.png" and data["classes"][1] == EVIL
    assert data["probabilities"][8] == [None, None]
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_the_map_fits_its_frame(tmp_path):
    _, data = saved(tmp_path, coordinates=np.array([[0, 0], [8, 1]] * 4 + [[4, 2]], dtype=float))
    assert (min(data["x"]), max(data["x"])) == (-0.5, 0.5)
    assert max(map(abs, data["y"])) == pytest.approx(0.125)


def test_without_thumbnails_there_is_no_picture(tmp_path):
    page, _ = saved(tmp_path, thumbnails=None)
    assert "<img" not in page
    assert "Principal component 1 (50.0 % of the variance)" in page


def test_plain_values_for_scripts():
    content = make_exploration().to_dict()
    assert content["label_issues"] == [
        {"path": f"a/{EVIL}2.png", "label": "NORMAL", "predicted": EVIL, "probability": 0.25}
    ]
    assert content["duplicates"][0]["kind"] == "same pixels"
    assert json.loads(json.dumps(content)) == content
    assert repr(make_exploration()) == "Exploration(9 images, 1 label issue, 1 duplicate)"
