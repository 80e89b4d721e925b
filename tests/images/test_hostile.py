"""Thousands of damaged or unusual files: each is read or reported, nothing crashes."""

import contextlib
import random
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian

from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError
from featx.features.extraction import extract
from featx.images.reading import begins_as_image, read_image
from tests.images.dicom_files import lookup_table, make_dicom
from tests.images.writers import encode


def encoded():
    """Valid files of each format and mode, as (suffix, bytes)."""
    generator = np.random.default_rng(5)
    gray = Image.fromarray(generator.integers(0, 256, (40, 50), dtype=np.uint8))
    deep = Image.fromarray(generator.integers(0, 2**16, (40, 50), dtype=np.uint16))
    color = Image.merge("RGB", [gray, gray.rotate(90, expand=False), gray])
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        (".jpeg", gray, "JPEG", {}),
        (".jpeg", color, "JPEG", {"progressive": True}),
        (".jpeg", color.convert("CMYK"), "JPEG", {}),
        (".jpg", gray, "JPEG", {"exif": exif}),
        (".png", gray, "PNG", {}),
        (".png", deep, "PNG", {}),
        (".png", color, "PNG", {}),
        (".png", color.convert("P"), "PNG", {}),
        (".png", color.convert("RGBA"), "PNG", {}),
        (".png", gray.convert("1"), "PNG", {}),
        (".png", gray.resize((1, 1)), "PNG", {}),
        (".png", gray, "PNG", {"save_all": True, "append_images": [gray.rotate(180)]}),
        (".tif", gray, "TIFF", {}),
        (".tif", deep, "TIFF", {}),
        (".tif", color, "TIFF", {"compression": "tiff_lzw"}),
        (".tif", gray, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (".bmp", gray, "BMP", {}),
    ]
    files = [(suffix, encode(image, kind, **options)) for suffix, image, kind, options in kinds]
    return files + encoded_dicom(np.asarray(gray), np.asarray(deep), np.asarray(color))


def encoded_dicom(gray, deep, color):
    """Valid DICOM files of each encoding of pixels, as (suffix, bytes)."""
    window = {"WindowCenter": 30000, "WindowWidth": 20000}
    made = [
        make_dicom(gray),
        make_dicom(deep, **window),
        make_dicom(deep, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0),
        make_dicom(deep.astype(np.int16), RescaleSlope=2, RescaleIntercept=-1024),
        make_dicom(deep >> 4, BitsStored=12, VOILUTSequence=[lookup_table(range(4096), 0, 12)]),
        make_dicom(color),
        make_dicom(deep, preamble=False, syntax=ImplicitVRLittleEndian),
        make_dicom(gray[:1, :1]),
    ]
    samples = [
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "MR_small_bigendian.dcm",
        "SC_rgb_small_odd.dcm",
    ]
    made += [Path(get_testdata_file(name, download=False)).read_bytes() for name in samples]
    return [(".dcm" if number % 2 else "", content) for number, content in enumerate(made)]


def absurd_dicom():
    """Headers with impossible values."""
    pixels = np.zeros((40, 50), np.uint16)
    return [
        make_dicom(pixels, **elements)
        for elements in (
            {"Rows": 65535, "Columns": 65535},
            {"Rows": 0},
            {"Columns": 0},
            {"NumberOfFrames": 2**31 - 1},
            {"BitsStored": 99},
            {"BitsAllocated": 24},
            {"SamplesPerPixel": 200},
            {"PhotometricInterpretation": "XYZ"},
            {"PixelRepresentation": 7},
            {"VOILUTSequence": [lookup_table([1], 0, 64)]},
            {"ModalityLUTSequence": [lookup_table([1], 0, 0)]},
        )
    ]


@pytest.mark.parametrize("content", absurd_dicom())
def test_impossible_headers_are_unreadable(content):
    with pytest.raises(UnreadableImageError):
        read_image(content)


@pytest.mark.parametrize("slope", ["1e300", "-1e300", "0", "1e-300"])
def test_extreme_scales_give_finite_pixels_or_are_unreadable(slope):
    pixels = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    for elements in ({}, {"WindowCenter": "1e300", "WindowWidth": "1e-300"}):
        content = make_dicom(pixels, RescaleSlope=slope, RescaleIntercept="1e300", **elements)
        try:
            found = read_image(content)
        except UnreadableImageError:
            continue
        assert found.min() >= 0
        assert found.max() <= 255


def mutate(content, chance):
    """Damage a file as disks, networks and people do."""
    how = chance.choice(["flip", "flips", "cut", "header", "zeros", "insert", "none"])
    damaged = bytearray(content)
    if how in ("flip", "flips"):
        for _ in range(1 if how == "flip" else 30):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del damaged[chance.randrange(len(damaged)) :]
    elif how == "header":
        for place in range(min(24, len(damaged))):
            if chance.random() < 0.3:
                damaged[place] = chance.randrange(256)
    elif how == "zeros":
        first = chance.randrange(len(damaged))
        damaged[first : first + 200] = bytes(len(damaged[first : first + 200]))
    elif how == "insert":
        place = chance.randrange(len(damaged))
        damaged[place:place] = chance.randbytes(50)
    return how, bytes(damaged)


@pytest.mark.slow
def test_mutated_files_are_read_or_reported(tmp_path, quick):
    chance = random.Random(7)
    valid = encoded()
    suffixes = sorted({suffix for suffix, _ in valid})
    untouched, kept = set(), 0
    for number in range(2400):
        suffix, content = valid[number % len(valid)]
        how, damaged = mutate(content, chance)
        if chance.random() < 0.1:
            suffix = chance.choice(suffixes)
        name = f"image{number:04d}{suffix}"
        (tmp_path / name).write_bytes(damaged)
        # Without suffix and without the beginning of an image it is no image file.
        kept += bool(suffix) or begins_as_image(damaged)
        if how == "none" and (suffix or begins_as_image(damaged)):
            untouched.add((name, number % len(valid)))
    images = ImageDataset.open(tmp_path, labeled=False)
    assert len(images) == kept > 2000
    matrix = extract(images, views=2)
    unreadable = dict(matrix.unreadable)
    for index in range(0, kept, 7):
        if images.names[index] not in unreadable:
            assert 0 <= images.read(index).min() <= images.read(index).max() <= 255
    assert set(matrix.names) | set(unreadable) == set(images.names)
    assert not set(matrix.names) & set(unreadable)
    assert all(unreadable.values())
    assert (np.abs(matrix.X).sum(axis=1) > 0).all() or _black(images, matrix)
    # Unchanged files are read whatever their suffix; only the animation is refused.
    refused = {kind for name, kind in untouched if name in unreadable}
    assert {valid[kind][1][:4] for kind in refused} <= {b"\x89PNG"}
    assert len(refused) == 1


def _black(images, matrix):
    """Return whether rows of zeros are those of black images."""
    rows = np.flatnonzero(np.abs(matrix.X).sum(axis=1) == 0)
    places = {name: index for index, name in enumerate(images.names)}
    return all(images.read(places[matrix.names[matrix.image[row]]]).max() == 0 for row in rows)


def packed_sets(folder):
    """A zip and a tar archive, a MedMNIST file and a Parquet table, as bytes by suffix."""
    for label in ("a", "b"):
        (folder / "set" / label).mkdir(parents=True)
        for number in range(3):
            gray = np.full((8, 8), 40 * number + 5, np.uint8)
            Image.fromarray(gray).save(folder / "set" / label / f"{number}.png")
    for kind in ("zip", "tar"):
        shutil.make_archive(str(folder / "valid"), kind, folder / "set")
    images, labels = np.zeros((6, 8, 8), np.uint8), np.array([[0], [1]] * 3)
    np.savez_compressed(folder / "valid.npz", train_images=images, train_labels=labels)
    table = pyarrow.table({"path": ["set/a/0.png", "set/b/0.png"], "label": ["a", "b"]})
    pyarrow.parquet.write_table(table, folder / "valid.parquet")
    return [(path.suffix, path.read_bytes()) for path in sorted(folder.glob("valid.*"))]


def test_mutated_archives_and_tables_are_opened_or_reported(tmp_path):
    chance = random.Random(11)
    opened, refused = set(), set()
    valid = packed_sets(tmp_path)
    for number in range(600):
        suffix, content = valid[number % len(valid)]
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(mutate(content, chance)[1])
        try:
            images = ImageDataset.open(path, "(.*)")
        except FeatxError:
            refused.add(suffix)
            continue
        opened.add(suffix)
        for index in range(len(images)):
            with contextlib.suppress(UnreadableImageError):
                images.read(index)
    assert opened == refused == {".zip", ".tar", ".npz", ".parquet"}
