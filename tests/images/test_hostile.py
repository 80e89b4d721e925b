"""Two thousand broken or odd image files: each reads right or is named, and nothing crashes."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from featx.features import embedding
from featx.features.extraction import extract
from featx.images.dataset import ImageDataset
from tests.features.worker import QuickEngine


def encoded():
    """Sound files of every kind and mode, as bytes by suffix."""
    generator = np.random.default_rng(5)
    grey = Image.fromarray(generator.integers(0, 256, (40, 50), dtype=np.uint8))
    deep = Image.fromarray(generator.integers(0, 2**16, (40, 50), dtype=np.uint16))
    colour = Image.merge("RGB", [grey, grey.rotate(90, expand=False), grey])
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        (".jpeg", grey, "JPEG", {}),
        (".jpeg", colour, "JPEG", {"progressive": True}),
        (".jpeg", colour.convert("CMYK"), "JPEG", {}),
        (".jpg", grey, "JPEG", {"exif": exif}),
        (".png", grey, "PNG", {}),
        (".png", deep, "PNG", {}),
        (".png", colour, "PNG", {}),
        (".png", colour.convert("P"), "PNG", {}),
        (".png", colour.convert("RGBA"), "PNG", {}),
        (".png", grey.convert("1"), "PNG", {}),
        (".png", grey.resize((1, 1)), "PNG", {}),
        (".png", grey, "PNG", {"save_all": True, "append_images": [grey.rotate(180)]}),
        (".tif", grey, "TIFF", {}),
        (".tif", deep, "TIFF", {}),
        (".tif", colour, "TIFF", {"compression": "tiff_lzw"}),
        (".tif", grey, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (".bmp", grey, "BMP", {}),
    ]
    files = []
    for suffix, image, kind, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files.append((suffix, buffer.getvalue()))
    return files


def mutate(content, chance):
    """Spoil a file as disks, networks and people do."""
    how = chance.choice(["flip", "flips", "cut", "header", "zeros", "insert", "none"])
    spoiled = bytearray(content)
    if how in ("flip", "flips"):
        for _ in range(1 if how == "flip" else 30):
            spoiled[chance.randrange(len(spoiled))] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del spoiled[chance.randrange(len(spoiled)) :]
    elif how == "header":
        for place in range(min(24, len(spoiled))):
            if chance.random() < 0.3:
                spoiled[place] = chance.randrange(256)
    elif how == "zeros":
        first = chance.randrange(len(spoiled))
        spoiled[first : first + 200] = bytes(len(spoiled[first : first + 200]))
    elif how == "insert":
        place = chance.randrange(len(spoiled))
        spoiled[place:place] = chance.randbytes(50)
    return how, bytes(spoiled)


@pytest.mark.slow
def test_broken_files_read_right_or_are_named(tmp_path, monkeypatch):
    chance = random.Random(7)
    sound = encoded()
    suffixes = sorted({suffix for suffix, _ in sound})
    untouched = set()
    for number in range(2000):
        suffix, content = sound[number % len(sound)]
        how, spoiled = mutate(content, chance)
        if chance.random() < 0.1:
            suffix = chance.choice(suffixes)
        name = f"image{number:04d}{suffix}"
        (tmp_path / name).write_bytes(spoiled)
        if how == "none":
            untouched.add((name, number % len(sound)))
    monkeypatch.setattr(
        embedding.Embedding, "_make_engine", lambda self: QuickEngine(self.backbone.features)
    )
    images = ImageDataset.open(tmp_path, labelled=False)
    assert len(images) == 2000
    matrix = extract(images, views=2)
    unreadable = dict(matrix.unreadable)
    assert set(matrix.names) | set(unreadable) == set(images.names)
    assert not set(matrix.names) & set(unreadable)
    assert all(unreadable.values())
    assert (np.abs(matrix.X).sum(axis=1) > 0).all() or _black(images, matrix)
    # Untouched files read, whatever their suffix; only the animation is refused.
    refused = {kind for name, kind in untouched if name in unreadable}
    assert {sound[kind][1][:4] for kind in refused} <= {b"\x89PNG"}
    assert len(refused) == 1


def _black(images, matrix):
    """Whether the rows of zeros are of images that decode to black."""
    rows = np.flatnonzero(np.abs(matrix.X).sum(axis=1) == 0)
    places = {name: index for index, name in enumerate(images.names)}
    return all(images.read(places[matrix.names[matrix.image[row]]]).max() == 0 for row in rows)
