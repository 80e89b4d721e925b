import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image

from featx.audit.duplicates import exact_pairs, join_patients, near_pairs
from featx.audit.fingerprints import take_fingerprints
from featx.datasets.dataset import ImageDataset
from featx.images.reading import read_image
from tests.conftest import smooth_image
from tests.images.writers import encode


def as_jpeg(pixels, quality):
    return read_image(encode(Image.fromarray(pixels), "JPEG", quality=quality))


ALTERED = {
    "jpeg": lambda pixels: as_jpeg(pixels, 30),
    "half": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "squashed": lambda pixels: cv2.resize(pixels, (150, 200), interpolation=cv2.INTER_AREA),
    "brighter": lambda pixels: np.clip(1.3 * pixels.astype(float) - 20, 0, 255).astype(np.uint8),
    "gamma": lambda pixels: (255 * (pixels / 255) ** 0.7).astype(np.uint8),
}


def pairs_of(*arrays):
    images = ImageDataset.from_arrays(list(arrays))
    fingerprints = take_fingerprints([images])
    return exact_pairs(fingerprints.contents), near_pairs([images], fingerprints)


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_duplicate_is_found_among_others(generator, how):
    arrays = [smooth_image(generator, (160, 180)) for _ in range(40)]
    exact, near = pairs_of(*arrays, ALTERED[how](arrays[7]))
    assert exact == []
    assert near == [(7, 40)]


def test_equal_pixels_are_exact_and_not_near_duplicates(generator):
    arrays = [smooth_image(generator) for _ in range(5)]
    exact, near = pairs_of(*arrays, arrays[1].copy(), arrays[1].copy())
    assert exact == [(1, 5), (1, 6), (5, 6)]
    assert near == []
    # The same bytes in another shape are another image.
    flat = np.arange(64, dtype=np.uint8)
    assert pairs_of(flat.reshape(4, 16), flat.reshape(16, 4))[0] == []


def test_files_with_the_same_pixels_and_other_bytes(tmp_path, generator):
    pixels = smooth_image(generator)
    for name, settings in (("a", {}), ("b", {"optimize": True})):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / f"{name}.png", **settings)
    fingerprints = take_fingerprints([ImageDataset.open(tmp_path)])
    assert fingerprints.digests[0] != fingerprints.digests[1]
    assert exact_pairs(fingerprints.contents) == [(0, 1)]


def test_unreadable_images_are_reported_and_no_duplicates(tmp_path, generator):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "empty.png").write_bytes(b"")
        Image.fromarray(smooth_image(generator)).save(tmp_path / name / "image.png")
    images = ImageDataset.open(tmp_path)
    fingerprints = take_fingerprints([images])
    assert {images.names[i] for i in fingerprints.unreadable} == {"a/empty.png", "b/empty.png"}
    assert exact_pairs(fingerprints.contents) == near_pairs([images], fingerprints) == []


def test_near_duplicates_are_found_across_blocks_and_sets(monkeypatch, generator):
    monkeypatch.setattr("featx.audit.duplicates._BLOCK", 3)
    arrays = [smooth_image(generator, (80, 80)) for _ in range(8)]
    here = ImageDataset.from_arrays(arrays)
    there = ImageDataset.from_arrays([smooth_image(generator, (80, 80)), as_jpeg(arrays[2], 60)])
    fingerprints = take_fingerprints([here, there])
    assert near_pairs([here, there], fingerprints) == [(2, 9)]


def test_patients_are_joined_through_chains():
    patients = np.array(["e", "d", "c", "b", "a"])
    assert join_patients(patients, [(0, 1), (1, 3)]).tolist() == ["b", "b", "c", "b", "a"]
    assert join_patients(patients, []).tolist() == patients.tolist()


@pytest.fixture(scope="module")
def real(shared):
    """The first 700 X-rays of Kermany et al."""
    arrays = []
    with tarfile.open(shared / "data" / "kermany224_trainval.tar") as archive:
        for member in archive:
            if member.isfile() and len(arrays) < 700:
                arrays.append(read_image(archive.extractfile(member).read()))
    return arrays


def test_no_false_alarm_on_real_x_rays(real):
    exact, near = pairs_of(*real)
    assert near == []
    for i, j in exact:
        np.testing.assert_array_equal(real[i], real[j])


@pytest.mark.parametrize("side", [28, 64, 224])
def test_the_most_similar_different_images_are_no_duplicates(shared, side):
    pixels = []
    with tarfile.open(shared / "data" / "kermany224_trainval.tar") as archive:
        for name in ("person1565_bacteria_4095", "person1637_bacteria_4339"):
            member = archive.extractfile(f"chest_xray/train/PNEUMONIA/{name}.jpeg")
            image = Image.fromarray(read_image(member.read()))
            pixels.append(np.asarray(image.resize((side, side), Image.BICUBIC)))
    assert pairs_of(*pixels) == ([], [])
    assert pairs_of(pixels[0], as_jpeg(pixels[0], 95)) == ([], [(0, 1)])


def test_duplicates_of_real_x_rays_are_found(real):
    originals = real[::35]
    for alter in ALTERED.values():
        _, near = pairs_of(*originals, *(alter(pixels) for pixels in originals))
        assert near == [(i, i + len(originals)) for i in range(len(originals))]
