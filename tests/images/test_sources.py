import zipfile

import numpy as np
import pytest
from PIL import Image

from featx.datasets.dataset import ImageDataset
from featx.features.cache.file_hashes import hash_images
from featx.images.sources import content_of, describe, read_beginning
from tests.images.dicom_files import make_dicom


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_channels_and_bytes_of_a_file(tmp_path, mode, channels):
    path = tmp_path / "image.png"
    Image.new(mode, (5, 4)).save(path)
    assert describe(path) == (path.stat().st_size, channels)


def test_channels_of_dicom_count_only_where_colors_differ(tmp_path, generator):
    colors = generator.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    for pixels, channels in ((colors, 3), (colors[..., 0], 1), (colors[..., [1, 1, 1]], 1)):
        path = tmp_path / "image.dcm"
        path.write_bytes(make_dicom(pixels))
        assert describe(path) == (path.stat().st_size, channels)


def test_the_beginning_of_an_unreadable_file_is_empty(tmp_path):
    assert read_beginning(tmp_path / "absent") == b""
    (tmp_path / "short").write_bytes(b"abc")
    assert read_beginning(tmp_path / "short") == b"abc"
    assert content_of(tmp_path / "short") == b"abc"


def test_members_of_an_unchanged_archive_are_not_read_again(
    tmp_path, monkeypatch, image_folder, hashed_names
):
    monkeypatch.setattr("featx.features.cache.file_hashes.GRANULARITY_SECONDS", -1)
    path = tmp_path / "images.zip"
    files = sorted(image_folder.rglob("*.png"))
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, file.relative_to(image_folder))
    images = ImageDataset.open(path, labeled=False)
    first = hash_images(images, tmp_path)
    again = hash_images(images, tmp_path)
    assert sorted(hashed_names) == sorted(images.names)
    assert again.digests == first.digests
    assert len(set(first.digests)) == len(files)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("one_more.txt", "")
    hash_images(images, tmp_path)
    assert len(hashed_names) == 2 * len(files)
