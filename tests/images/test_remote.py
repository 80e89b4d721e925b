import sys
import zipfile

import pytest

from featx.datasets.dataset import ImageDataset
from featx.errors import MissingExtraError, UnreadableImageError, UsageError
from featx.features.cache.file_hashes import hash_images
from featx.images import file_limits, remote
from featx.images.remote import RemoteFile

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'featx[dask]'")


@pytest.fixture
def bucket(image_folder):
    """The URL of a store in memory with the images, and their truth."""
    store = fsspec.filesystem("memory")
    store.put(str(image_folder), "/bucket/xrays", recursive=True)
    yield "memory://bucket/xrays"
    store.rm("/bucket", recursive=True)


def same(images, expected):
    assert images.names == expected.names
    assert images.labels.tolist() == expected.labels.tolist()
    assert images.patients.tolist() == expected.patients.tolist()
    assert [images.digest(n) for n in range(5)] == [expected.digest(n) for n in range(5)]
    assert (images.read(7) == expected.read(7)).all()


def test_folders_and_archives_behind_urls_equal_those_on_disk(
    bucket, images, image_folder, tmp_path
):
    same(ImageDataset.open(bucket, r"(p\d+)_"), images)
    same(ImageDataset.open(f"file://{image_folder}", r"(p\d+)_"), images)
    packed = tmp_path / "xrays.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(image_folder.rglob("*.png")):
            archive.write(file, file.relative_to(image_folder))
    same(ImageDataset.open(f"zip://::{packed}", r"(p\d+)_"), images)
    fsspec.filesystem("memory").put(str(packed), "/bucket/xrays.zip")
    same(ImageDataset.open("memory://bucket/xrays.zip", r"(p\d+)_"), images)


def test_files_behind_urls_are_judged_by_suffix_and_the_rest_is_counted(bucket, images):
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/xrays/NORMAL/a.webp", b"RIFF1234WEBPVP8 ")
    store.pipe("/bucket/xrays/NORMAL/b.csv", b"x")
    # Only these are worth a request each.
    store.copy(f"/bucket/xrays/{images.names[0]}", "/bucket/xrays/NORMAL/p00_without")
    found = ImageDataset.open(bucket, r"(p\d+)_")
    assert len(found) == len(images) + 1
    passed_over = {next(iter(each.kinds)): each.expected for each in found.inventory.passed_over}
    assert passed_over == {".webp": False, ".csv": True}


def test_tables_of_urls_and_tables_behind_urls(bucket, images, tmp_path):
    rows = [
        f"{name},{images.class_names[label]},{patient}"
        for name, label, patient in zip(images.names, images.labels, images.patients, strict=True)
    ]
    head = "path,label,patient\n"
    table = tmp_path / "table.csv"
    table.write_text(head + "".join(f"{bucket}/{row}\n" for row in rows))
    same(ImageDataset.open(table), images)
    fsspec.filesystem("memory").pipe("/bucket/xrays/table.csv", (head + "\n".join(rows)).encode())
    same(ImageDataset.open(f"{bucket}/table.csv"), images)
    table.write_text(f"{head}{bucket}/{rows[0]}\n{rows[1]}\n")
    with pytest.raises(UsageError, match="mixes URLs with paths"):
        ImageDataset.open(table)


def test_missing_files_are_reported_without_their_urls(bucket, images, tmp_path, monkeypatch):
    listed = ImageDataset.open(bucket, labeled=False)
    fsspec.filesystem("memory").rm("/bucket/xrays/NORMAL/p00_0.png")
    hashed = hash_images(listed, tmp_path)
    assert [str(error) for error in hashed.unreadable.values()] == [
        "it cannot be fetched (FileNotFoundError)"
    ]
    monkeypatch.setattr(remote, "LARGEST_FILE", 100)
    monkeypatch.setattr(file_limits, "LARGEST_FILE", 100)
    with pytest.raises(UnreadableImageError, match="101 bytes"):
        listed.read(1)
    assert len(listed.sources[1].read(10)) == 10


def test_failed_requests_are_repeated(bucket, images, monkeypatch):
    store = fsspec.filesystem("memory")
    original, failures = type(store).cat_file, [TimeoutError(), OSError()]

    def cat_file(self, *args, **options):
        if failures:
            raise failures.pop()
        return original(self, *args, **options)

    monkeypatch.setattr(type(store), "cat_file", cat_file)
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    assert ImageDataset.open(bucket, labeled=False).digest(0) == images.digest(0)


def test_a_replaced_archive_is_opened_again(tmp_path):
    path = tmp_path / "a.zip"
    for name in ("one", "two"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.png", name)
        file = RemoteFile(f"zip://{name}.png::file://{path}")
        assert file.read() == name.encode()


def test_files_with_an_unchanged_etag_are_not_fetched_again(
    bucket, tmp_path, monkeypatch, hashed_names
):
    store = fsspec.filesystem("memory")
    original, marked = type(store).find, {"ETag": "one"}

    def find(self, path, **options):
        found = original(self, path, **options)
        return (
            {name: {**info, **marked} for name, info in found.items()}
            if options.get("detail")
            else found
        )

    monkeypatch.setattr(type(store), "find", find)
    images = ImageDataset.open(bucket, labeled=False)
    for _ in range(2):
        hash_images(images, tmp_path)
        assert len(hashed_names) == len(images)
    marked["ETag"] = "two"
    hash_images(ImageDataset.open(bucket, labeled=False), tmp_path)
    assert len(hashed_names) == 2 * len(images)


def test_wrong_urls_say_what_to_do(monkeypatch):
    with pytest.raises(UsageError, match="it is empty"):
        ImageDataset.open("memory://nothing/here")
    with pytest.raises(UsageError, match="Protocol not known: nowhere"):
        ImageDataset.open("nowhere://bucket/xrays")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"featx\[dask\]"):
        ImageDataset.open("memory://bucket/xrays")
