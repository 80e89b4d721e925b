import contextlib
import hashlib
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from featx.datasets import public as public_sets
from featx.datasets.dataset import ImageDataset
from featx.datasets.public import PublicSet, download, fetch_public_set, get_public_set
from featx.errors import FeatxError, UsageError

COUNTS = {
    "chest_xray/train/NORMAL": 4,
    "chest_xray/train/PNEUMONIA": 6,
    "chest_xray/test/NORMAL": 2,
    "chest_xray/test/PNEUMONIA": 3,
}


def pack(extra=()):
    """A zip file with the folders of the published one, and files of operating systems."""
    generator = np.random.default_rng(0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("chest_xray/.DS_Store", "__MACOSX/chest_xray/train/NORMAL/._a.jpeg", *extra):
            archive.writestr(name, b"x")
        for folder, count in COUNTS.items():
            archive.writestr(f"{folder}/._b.jpeg", b"x")
            for number in range(count):
                picture = io.BytesIO()
                pixels = generator.integers(0, 256, (200, 200), dtype=np.uint8)
                Image.fromarray(pixels).save(picture, "JPEG")
                archive.writestr(f"{folder}/person{number}_virus_1.jpeg", picture.getvalue())
    return buffer.getvalue()


class Server:
    """Serve one file with byte ranges, cutting connections on request."""

    def __init__(self, content):
        self.content, self.ranges_known = content, True
        self.cuts, self.asked, self.status, self.hold = [], [], None, None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", "/file")
                    self.end_headers()
                else:
                    server.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}/moved"

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        start = start if self.ranges_known else 0
        if self.status is not None or start >= len(self.content):
            handler.send_error(self.status or 416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        end = start + self.cuts.pop(0) if self.cuts else len(self.content)
        with contextlib.suppress(OSError):
            handler.wfile.write(self.content[start:end])
            handler.wfile.flush()
            if self.hold is not None:
                self.hold.wait(60)

    def close(self):
        if self.hold is not None:
            self.hold.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def content():
    return pack()


@pytest.fixture
def server(content):
    server = Server(content)
    yield server
    server.close()


def known(server):
    return replace(
        get_public_set("kermany"),
        address=server.address,
        size=len(server.content),
        sha256=hashlib.sha256(server.content).hexdigest(),
        counts=COUNTS,
    )


def test_the_set_is_fetched_checked_and_unpacked(server, tmp_path):
    folder = fetch_public_set(known(server), tmp_path / "data")
    images = ImageDataset.open(folder, "kermany")
    assert len(images) == 15
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train"]
    assert not list(folder.rglob(".*"))
    assert (tmp_path / "data" / "ChestXRay2017.zip").read_bytes() == server.content
    with zipfile.ZipFile(io.BytesIO(server.content)) as archive:
        for path in folder.rglob("*.jpeg"):
            name = path.relative_to(tmp_path / "data").as_posix()
            assert path.read_bytes() == archive.read(name)
    # Complete folders are not fetched again; incomplete ones are reported, not repaired.
    assert fetch_public_set(known(server), tmp_path / "data") == folder
    assert len(server.asked) == 1
    next((folder / "test" / "NORMAL").iterdir()).unlink()
    with pytest.raises(FeatxError, match=r"test/NORMAL 1, .* instead of .*test/NORMAL 2"):
        fetch_public_set(known(server), tmp_path / "data")


@pytest.mark.parametrize("ranges_known", [True, False])
def test_a_broken_connection_is_resumed(server, tmp_path, ranges_known):
    server.ranges_known = ranges_known
    server.cuts = [5000, 7000]
    download(server.address, tmp_path / "file", len(server.content))
    assert (tmp_path / "file").read_bytes() == server.content
    second = 12000 if ranges_known else 7000
    assert server.asked == [None, "bytes=5000-", f"bytes={second}-"]
    assert not list(tmp_path.glob("*.part"))


def test_an_attempt_without_progress_ends_and_the_next_run_resumes(server, tmp_path):
    server.cuts = [5000, 0]
    with pytest.raises(FeatxError, match="cannot be downloaded"):
        fetch_public_set(known(server), tmp_path)
    assert (tmp_path / "ChestXRay2017.zip.part").stat().st_size == 5000
    folder = fetch_public_set(known(server), tmp_path)
    assert len(list(folder.rglob("*.jpeg"))) == 15
    assert server.asked == [None, "bytes=5000-", "bytes=5000-"]


def test_a_killed_download_is_resumed(server, tmp_path):
    half = len(server.content) // 2
    server.hold, server.cuts = threading.Event(), [half]
    part = tmp_path / "file.part"
    code = "import sys; from pathlib import Path; from featx.datasets.public import download; "
    code += "download(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))"
    arguments = [server.address, str(tmp_path / "file"), str(len(server.content))]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == half):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.hold.set()
    server.hold = None
    download(server.address, tmp_path / "file", len(server.content))
    assert (tmp_path / "file").read_bytes() == server.content
    assert server.asked == [None, f"bytes={half}-"]


def test_nothing_is_unpacked_outside_the_folder(tmp_path):
    (tmp_path / "given.zip").write_bytes(pack(["../outside.jpeg", "/tmp/outside.jpeg"]))
    server = Server((tmp_path / "given.zip").read_bytes())
    server.close()
    fetch_public_set(known(server), tmp_path / "data", tmp_path / "given.zip")
    assert not list(tmp_path.rglob("outside*"))


def test_a_full_disk_and_a_missing_archive_are_reported_first(server, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="there is no file"):
        fetch_public_set(known(server), tmp_path / "data", tmp_path / "nothing.zip")
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(
        public_sets.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})
    )
    with pytest.raises(FeatxError, match="1,000 bytes free"):
        fetch_public_set(known(server), tmp_path)
    assert server.asked == []


def test_without_a_network_the_archive_can_be_given(server, tmp_path, monkeypatch, run_featx):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
    record = replace(known(server), address=closed)
    monkeypatch.setitem(public_sets.PUBLIC_SETS, "kermany", record)
    command = ("datasets", "kermany", "--to", tmp_path / "data")
    code, text, error = run_featx(*command)
    assert (code, text) == (1, "")
    for word in ("refused", record.page, "ChestXRay2017.zip", "--from", str(tmp_path / "data")):
        assert word in error
    brought = tmp_path / "brought.zip"
    brought.write_bytes(server.content[:-1])
    code, _, error = run_featx(*command, "--from", brought)
    assert code == 1
    assert "SHA-256" in error
    brought.write_bytes(server.content)
    code, text, error = run_featx(*command, "--from", brought, "--json")
    assert code == 0, error
    assert json.loads(text)["images"] == str(tmp_path / "data" / "chest_xray")
    assert brought.read_bytes() == server.content
    other = tmp_path / "other"
    other.mkdir()
    (other / "ChestXRay2017.zip").write_bytes(server.content)
    code, text, _ = run_featx("datasets", "kermany", "--to", other)
    assert code == 0
    assert "15 images" in text
    assert server.asked == []


@pytest.mark.parametrize("status", [403, 503])
def test_a_refusal_is_reported_with_its_reason(server, tmp_path, status):
    server.status = status
    with pytest.raises(FeatxError, match=rf"the server answers {status} .*browser"):
        fetch_public_set(known(server), tmp_path)


def test_another_file_than_the_published_one_is_refused(server, tmp_path):
    with pytest.raises(FeatxError, match=r"its SHA-256 is \w{64}, not 0000"):
        fetch_public_set(replace(known(server), sha256="0" * 64), tmp_path / "a")
    assert not (tmp_path / "a" / "chest_xray").exists()
    larger = replace(known(server), size=len(server.content) + 100)
    with pytest.raises(FeatxError, match=r"bytes where .* are expected"):
        fetch_public_set(larger, tmp_path / "b")
    # What is left of a longer file is deleted.
    part = tmp_path / "b" / "ChestXRay2017.zip.part"
    part.write_bytes(server.content + b"more")
    with pytest.raises(FeatxError):
        fetch_public_set(larger, tmp_path / "b")
    assert not part.exists()


def test_the_sets_are_listed(run_featx):
    code, text, _ = run_featx("datasets")
    assert code == 0
    for word in ("kermany", "CC BY 4.0", "1,235,512,464", "https://data.mendeley.com", "SHA-256"):
        assert word in text
    code, text, _ = run_featx("datasets", "--json")
    (record,) = json.loads(text)
    assert PublicSet(**record) == get_public_set("kermany")
    # Kermany et al. 2018: 5,232 images to train on, 624 to test on.
    counts = record["counts"]
    assert sum(count for name, count in counts.items() if "train" in name) == 5232
    assert sum(count for name, count in counts.items() if "test" in name) == 624
    for wrong in (["chexpert", "--to", "x"], ["kermany"], ["--to", "x"]):
        assert run_featx("datasets", *wrong)[0] == 2
