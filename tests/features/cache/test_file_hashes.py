import hashlib
import mmap
import os
import time

import pytest

from featx.features.cache import file_hashes as hashing
from featx.features.cache.file_hashes import MEMORY_NAME, hash_images


@pytest.fixture
def settled(monkeypatch):
    """Files count as old as soon as they are written, so that no test has to wait."""
    monkeypatch.setattr(hashing, "GRANULARITY_SECONDS", -1.0)


def test_unchanged_files_are_not_read_again(images, tmp_path, hashed_names, settled):
    first = hash_images(images, tmp_path)
    assert sorted(hashed_names) == sorted(images.names)
    again = hash_images(images, tmp_path)
    assert len(hashed_names) == 24
    assert again.digests == first.digests
    truth = [hashlib.sha256(path.read_bytes()).hexdigest() for path in images.sources]
    assert list(again.digests) == truth


def test_rehash_reads_all_and_remembers_anew(images, tmp_path, hashed_names, settled):
    hash_images(images, tmp_path)
    size = (tmp_path / MEMORY_NAME).stat().st_size
    hash_images(images, tmp_path, rehash=True)
    assert len(hashed_names) == 48
    assert (tmp_path / MEMORY_NAME).stat().st_size == size


def test_a_file_changed_within_its_time_stamp_s_step_is_read_again(images, tmp_path, hashed_names):
    source = images.sources[3]
    os.utime(source)
    for number in range(2):
        source.write_bytes(bytes([number]) * source.stat().st_size)
        digest = hash_images(images, tmp_path).digests[3]
        assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    assert hashed_names.count(images.names[3]) == 2


def test_a_change_that_keeps_size_and_modification_time_shows(
    images, tmp_path, hashed_names, settled
):
    source = images.sources[3]
    before = source.stat()
    first = hash_images(images, tmp_path)
    time.sleep(0.02)
    source.write_bytes(bytes(before.st_size))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    again = hash_images(images, tmp_path)
    assert sorted(hashed_names) == sorted([*images.names, images.names[3]])
    assert again.digests[3] == hashlib.sha256(bytes(before.st_size)).hexdigest()
    assert again.digests[3] != first.digests[3]


def test_a_write_through_a_map_that_changes_no_time_needs_rehash(images, tmp_path, settled):
    source = images.sources[3]
    with source.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        content[-1] ^= 1
        first = hash_images(images, tmp_path).digests
        before = source.stat()
        content[-1] ^= 1
        if source.stat().st_ctime_ns == before.st_ctime_ns:
            assert hash_images(images, tmp_path).digests == first
        again = hash_images(images, tmp_path, rehash=True).digests
    assert again != first
    assert again[3] == hashlib.sha256(source.read_bytes()).hexdigest()


def test_another_file_of_the_same_name_is_not_taken_for_it(images, tmp_path, settled):
    hash_images(images, tmp_path)
    images.sources[0].unlink()
    images.sources[1].rename(images.sources[0])
    again = hash_images(images.select([0]), tmp_path)
    truth = hashlib.sha256(images.sources[0].read_bytes()).hexdigest()
    assert again.digests == (truth,)


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "foreign"])
def test_a_damaged_memory_is_rebuilt(images, tmp_path, hashed_names, settled, how):
    first = hash_images(images, tmp_path)
    path = tmp_path / MEMORY_NAME
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[-5] ^= 1
    elif how == "foreign":
        body = b"other files 9\n" + content[46:]
        content = hashlib.sha256(body).digest() + body
    else:
        del content[len(content) // 2 if how == "cut" else 0 :]
    path.write_bytes(content)
    again = hash_images(images, tmp_path)
    assert len(hashed_names) == 48
    assert again.digests == first.digests
    hash_images(images, tmp_path)
    assert len(hashed_names) == 48


def test_writers_add_to_what_others_remembered(images, tmp_path, settled, hashed_names):
    hash_images(images.select(range(12)), tmp_path)
    hash_images(images.select(range(12, 24)), tmp_path)
    hash_images(images, tmp_path)
    assert len(hashed_names) == 24


def test_the_memory_does_not_grow_without_end(images, tmp_path, settled, monkeypatch, hashed_names):
    hash_images(images.select(range(20)), tmp_path)
    monkeypatch.setattr(hashing, "MOST_ENTRIES", 8)
    hash_images(images.select(range(16, 22)), tmp_path)
    hashed_names.clear()
    hash_images(images, tmp_path)
    kept = set(images.names) - set(hashed_names)
    assert kept == set(images.names[16:22])


def test_a_cache_that_cannot_be_written_is_no_error(images, tmp_path, settled):
    (tmp_path / "file").touch()
    assert len(hash_images(images, tmp_path / "file").digests) == 24
