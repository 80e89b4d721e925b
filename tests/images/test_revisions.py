"""Rows in caches of an earlier state are reused for images that are read as before, only."""

import hashlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from featx.datasets.dataset import ImageDataset
from featx.features.cache import file_hashes
from featx.features.cache.file_hashes import hash_images
from featx.features.cache.store import FeatureStore
from featx.features.extraction import extract
from featx.features.recipe import Recipe
from featx.images.revisions import row_key
from featx.images.sources import digest_of, identify
from tests.images.dicom_files import RAMP, make_dicom
from tests.images.writers import encode, png, tiff

WINDOW = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}


def kept():
    gray = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    yield from (encode(gray.convert(mode), "PNG") for mode in ("L", "RGB", "P", "1"))
    yield from (encode(gray, kind) for kind in ("JPEG", "TIFF", "BMP"))
    yield encode(gray.convert("RGB"), "TIFF", compression="jpeg")
    yield make_dicom(RAMP, **WINDOW)
    yield make_dicom(RAMP, **WINDOW, RescaleSlope=1, RescaleIntercept=-1024)
    yield make_dicom(RAMP, **WINDOW, preamble=False, syntax=ImplicitVRLittleEndian)
    yield make_dicom(np.asarray(gray))
    yield make_dicom(np.asarray(gray.convert("RGB")))
    yield b"no image"


def changed():
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 999
    yield png(deep, 0)
    yield png(np.repeat(deep[..., np.newaxis], 3, 2), 2)
    yield tiff(deep, photometric="miniswhite")
    yield tiff(deep.astype(np.float32), bigtiff=True)
    group = Dataset()
    group.FrameVOILUTSequence = []
    for elements in (
        {"HighBit": 15},
        {"PresentationLUTShape": "INVERSE"},
        {"SharedFunctionalGroupsSequence": [group]},
        {"RescaleSlope": 2},
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"VOILUTFunction": ""},
    ):
        yield make_dicom(RAMP, **WINDOW, **elements)
        syntax = {"preamble": False, "syntax": ImplicitVRLittleEndian}
        yield make_dicom(RAMP, **WINDOW, **elements, **syntax)
    yield make_dicom(np.repeat(RAMP[..., np.newaxis], 3, 2), BitsStored=12)


@pytest.mark.parametrize("content", list(kept()))
def test_images_that_are_read_as_before_keep_their_rows(content):
    assert row_key("ab", content) == "ab"


@pytest.mark.parametrize("content", list(changed()))
def test_images_that_may_be_read_differently_do_not(content):
    assert row_key("ab", content) != "ab"


def test_arrays():
    assert identify(np.zeros((2, 2), np.uint8))[0] == identify(np.zeros((2, 2), np.uint8))[1]
    digest, key = identify(np.full((2, 2), 300, np.uint16))
    assert digest == digest_of(np.full((2, 2), 300, np.uint16)) != key


def test_keys_are_remembered_with_digests(tmp_path, hashed_names, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 999
    (folder / "a.tif").write_bytes(tiff(deep, photometric="miniswhite"))
    Image.fromarray((deep >> 8).astype(np.uint8)).save(folder / "b.png")
    images = ImageDataset.open(folder, labeled=False)
    monkeypatch.setattr(file_hashes, "GRANULARITY_SECONDS", -1.0)
    first = hash_images(images, tmp_path / "cache")
    assert hashed_names == ["images/a.tif", "images/b.png"]
    again = hash_images(images, tmp_path / "cache")
    assert len(hashed_names) == 2
    assert (again.digests, again.keys) == (first.digests, first.keys)
    assert first.digests[0] == hashlib.sha256((folder / "a.tif").read_bytes()).hexdigest()
    assert first.keys[0] != first.digests[0]
    assert first.keys[1] == first.digests[1]
    assert first.select([0]).keys == first.keys[:1]


def test_only_rows_of_images_read_as_before_are_served_from_an_old_cache(tmp_path, quick):
    picture = np.tile(np.linspace(0, 65535, 40, dtype=np.uint16), (40, 1))
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", picture, photometric="miniswhite")
    Image.fromarray((picture >> 8).astype(np.uint8)).save(folder / "b.png")
    images = ImageDataset.open(folder, labeled=False)
    right = extract(images, views=1, cache=tmp_path / "new")
    planted = np.full_like(right.X, 7)
    old = FeatureStore(tmp_path / "old", Recipe.from_dict(right.recipes[0]))
    old.add([(digest, 0) for digest in right.digests], planted, 1.0)
    found = extract(images, views=1, cache=tmp_path / "old")
    np.testing.assert_array_equal(found.X[0], right.X[0])
    np.testing.assert_array_equal(found.X[1], planted[1])
    assert found.digests == tuple(images.digest(index) for index in range(2))
