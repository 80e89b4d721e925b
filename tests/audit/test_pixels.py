"""Images of one intensity and tiny ones are found by one decoding each, on every road."""

import numpy as np
import pytest
from PIL import Image

import featx
from featx.audit import pixels
from tests.benchmarking.conftest import draw
from tests.features.cache.test_read_only import read_only

BACKBONE = "efficientnet_lite0@64"


@pytest.fixture
def model(quick, tmp_path):
    matrix = featx.extract(
        draw(n=16, signal=30), BACKBONE, views=1, augmentation="none", cache=tmp_path / "fit"
    )
    return featx.fit(matrix, "naive_bayes", cv=2, n_jobs=1)


@pytest.fixture
def paths(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    drawn = {"noise": noise, "blank": np.full((40, 40), 7, np.uint8), "tiny": noise[:9]}
    for name, image in drawn.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    return [tmp_path / f"{name}.png" for name in drawn]


@pytest.fixture
def decoded(monkeypatch):
    """Images that the check decodes itself."""
    found = []
    original = pixels.pixels_of
    monkeypatch.setattr(pixels, "pixels_of", lambda *a: found.append(a) or original(*a))
    return found


def problems(model, paths, cache):
    found = model.predict_files(paths, cache=cache).findings
    return {each.kind: each.examples for each in found if each.kind in ("constant", "tiny")}


def test_each_image_is_decoded_once(model, paths, decoded, tmp_path):
    expected = {"constant": (str(paths[1]),), "tiny": (str(paths[2]),)}
    cache = tmp_path / "cache"
    assert problems(model, paths, cache) == expected
    # The extraction found them; then they are remembered with the features.
    assert problems(model, paths, cache) == expected
    assert not decoded
    # Features that another program cached, and a damaged memory, cost one decoding.
    for content in (None, b"damaged"):
        (cache / pixels.MEMORY_NAME).unlink()
        if content is not None:
            (cache / pixels.MEMORY_NAME).write_bytes(content)
        decoded.clear()
        assert problems(model, paths, cache) == problems(model, paths[::-1], cache) == expected
        assert len(decoded) == 3
    (cache / pixels.MEMORY_NAME).unlink()
    with read_only(cache):
        assert problems(model, paths, cache) == expected


def test_a_full_memory_keeps_the_current_images(model, paths, decoded, tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "_MOST_ENTRIES", 2)
    problems(model, paths[:1], tmp_path / "cache")
    problems(model, paths[1:], tmp_path / "cache")
    assert problems(model, paths[1:], tmp_path / "cache").keys() == {"constant", "tiny"}
    assert not decoded
