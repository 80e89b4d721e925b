import hashlib
import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError, UsageError
from featx.images import archives, file_limits
from tests.images.dicom_files import make_dicom
from tests.images.writers import encode


def zip_folder(folder, path, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


def tar_folder(folder, path, mode="w"):
    with tarfile.open(path, mode) as archive:
        archive.add(folder, folder.name)
    return path


@pytest.fixture(params=["zip", "stored zip", "tar"])
def archive(request, image_folder, tmp_path):
    if request.param == "tar":
        return tar_folder(image_folder, tmp_path / "images.tar")
    kind = zipfile.ZIP_STORED if request.param == "stored zip" else zipfile.ZIP_DEFLATED
    return zip_folder(image_folder, tmp_path / "images.zip", kind)


def test_an_archive_holds_what_its_folder_does(archive, images):
    packed = ImageDataset.open(archive, r"(p\d+)_")
    assert packed.names == tuple(f"xrays/{name}" for name in images.names)
    assert packed.labels.tolist() == images.labels.tolist()
    assert packed.patients.tolist() == images.patients.tolist()
    for index in range(len(images)):
        assert packed.digest(index) == images.digest(index)
        np.testing.assert_array_equal(packed.read(index), images.read(index))


def test_threads_read_one_archive_at_once(archive, images):
    packed = ImageDataset.open(archive, r"(p\d+)_")
    indices = [*range(len(images))] * 5
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(packed.digest, indices)) == [*map(images.digest, indices)]


def test_split_folders_hidden_files_and_dicom_inside(tmp_path, image_folder):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "test"):
            for label in ("a", "b"):
                content = make_dicom(np.full((4, 5), len(label), np.uint8))
                archive.writestr(f"study/{split}/{label}/IM1", content)
        archive.writestr("study/DICOMDIR", content)
        archive.writestr("__MACOSX/study/train/a/._IM1.png", b"x")
        archive.writestr("study/train/a/.hidden.png", b"x")
    images = ImageDataset.open(path)
    parts = ("test/a", "test/b", "train/a", "train/b")
    assert images.names == tuple(f"study/{part}/IM1" for part in parts)
    assert images.splits.tolist() == ["test", "test", "train", "train"]
    assert images.read(0).shape == (4, 5)


def picture():
    return encode(Image.new("L", (4, 4), 9), "PNG")


def test_names_never_leave_the_archive(tmp_path):
    path = tmp_path / "images.zip"
    hostile = ["../../a/up.png", "/a/root.png", "C:\\a\\drive.png", "a/../b/down.png"]
    with zipfile.ZipFile(path, "w") as archive:
        for name in hostile:
            archive.writestr(name, picture())
    images = ImageDataset.open(path, labeled=False)
    assert images.names == ("a/b/down.png", "a/drive.png", "a/root.png", "a/up.png")
    assert all(images.read(index).max() == 9 for index in range(4))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["images.zip"]


def test_links_in_tar_files_are_followed_inside_the_archive_only(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as archive:
        for kind, name, target in (
            (tarfile.SYMTYPE, "a.png", str(secret)),
            (tarfile.LNKTYPE, "b.png", str(secret)),
            (tarfile.SYMTYPE, "up.png", "../secret.png"),
            (tarfile.LNKTYPE, "hard.png", "c.png"),
            (tarfile.SYMTYPE, "x/soft.png", "../c.png"),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            archive.addfile(link)
        info = tarfile.TarInfo("c.png")
        info.size = len(picture())
        archive.addfile(info, io.BytesIO(picture()))
    images = ImageDataset.open(path, labeled=False)
    assert images.names == ("c.png",)
    assert images.read(0).max() == 9
    passed_over = {each.reason: each.count for each in images.inventory.passed_over}
    assert passed_over == {
        "reached by links a second time": 2,
        "linked to what is not in the archive": 3,
    }


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(2_000_000))
        archive.writestr("image.png", picture())
    monkeypatch.setattr(file_limits, "LARGEST_FILE", 1_000_000)
    images = ImageDataset.open(path, labeled=False)
    with pytest.raises(UnreadableImageError, match=r"2,000,000 bytes \(at most"):
        images.read(0)
    assert images.read(1).max() == 9


@pytest.mark.parametrize("length", [1 << 20, (1 << 27)])
def test_a_member_that_packs_like_no_picture_is_not_unpacked(tmp_path, length):
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("A/zeros.png", bytes(length))
    member = archives.list_members(path)["A/zeros.png"]
    if length < 1 << 26:
        assert len(member.read()) == length
    else:
        with pytest.raises(UnreadableImageError, match="unreasonably compressed"):
            member.read()
        assert member.read(8) == bytes(8)


def test_a_member_with_a_wrong_declared_size_is_damaged(tmp_path):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.png", bytes(100_000))
    content = path.read_bytes()
    path.write_bytes(content.replace((100_000).to_bytes(4, "little"), (500).to_bytes(4, "little")))
    with pytest.raises(UnreadableImageError, match="damaged inside its archive"):
        ImageDataset.open(path, labeled=False).read(0)


def test_a_damaged_or_encrypted_member_is_reported_alone(tmp_path):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.png", picture())
        archive.writestr("b.png", picture())
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    path.write_bytes(content)
    images = ImageDataset.open(path, labeled=False)
    with pytest.raises(UnreadableImageError, match="damaged inside its archive"):
        images.digest(0)
    assert images.digest(1) == hashlib.sha256(picture()).hexdigest()
    locked = path.read_bytes().replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    )
    path.write_bytes(locked)
    with pytest.raises(UnreadableImageError, match="encrypted, or compressed"):
        ImageDataset.open(path, labeled=False).digest(1)


def test_bad_archives(tmp_path, image_folder):
    with pytest.raises(UsageError, match="unpack it, or pack the images as zip or plain tar"):
        ImageDataset.open(tar_folder(image_folder, tmp_path / "images.tar.gz", "w:gz"))
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(UsageError, match="is no file of images"):
        ImageDataset.open(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(UsageError, match=r"has no image .*1 \.txt"):
        ImageDataset.open(tmp_path / "empty.zip")


def test_an_archive_cut_short_while_in_use(tmp_path, image_folder):
    path = tar_folder(image_folder, tmp_path / "images.tar")
    images = ImageDataset.open(path, r"(p\d+)_")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UnreadableImageError, match="cut short"):
        images.read(len(images) - 1)
    path.unlink()
    with pytest.raises(UnreadableImageError, match="cannot be read"):
        images.read(0)
