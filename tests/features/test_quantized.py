"""Int8 networks as files: quantized on training images, opened like networks of others."""

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.cli.doctor import backbone_rows
from featx.errors import FeatxError, MissingExtraError, UsageError
from featx.features import quantized
from tests.backbones.onnx_networks import write_card, write_onnx

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    or not all(importlib.util.find_spec(name) for name in ("nncf", "openvino")),
    reason="NNCF or OpenVINO is not installed, or Keras not on TensorFlow",
)

# Extracts and predicts in a process that has nothing but the three files.
ALONE = """
import sys, numpy as np, featx
matrix = featx.extract(list(np.load(sys.argv[2])), f"openvino:{sys.argv[1]}", views=1)
np.save(sys.argv[3], matrix.X)
assert not {"keras", "tensorflow", "nncf"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(1).integers(0, 256, (12, 64, 64), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, noise):
    folder = tmp_path_factory.mktemp("int8")
    featx.quantize("efficientnet_lite0@64", list(noise), out=folder / "net.xml", cache=folder)
    return folder


@pytest.fixture
def chest(tmp_path):
    """A network of others with feature maps, and a benchmark's name of it."""
    return f"onnx:{write_card(write_onnx(tmp_path / 'chest.onnx', ('maps',)))}"


def test_a_registered_network_keeps_its_poolings_and_comes_near_float32(folder, noise):
    network = get_backbone(f"openvino:{folder / 'net.xml'}")
    assert sorted(path.suffix for path in folder.glob("net.*")) == [".bin", ".json", ".xml"]
    assert (folder / "net.bin").stat().st_size < 0.3 * 4 * network.parameters
    source = network.quantized_from
    assert (source["backbone"], source["size"]) == ("efficientnet_lite0", [64, 64])
    assert len(source["images"]) == 12
    assert {"nncf", "openvino"} <= source["versions"].keys()
    assert str(folder) not in (folder / "net.xml").read_text() + (folder / "net.json").read_text()
    backbone = get_backbone("efficientnet_lite0@64")
    for pooling in ("average", "multi_depth", "quadrants"):
        exact = make_engine(backbone, find_weights(backbone), "openvino", pooling).embed(noise)
        engine = make_engine(network, find_weights(network), pooling=pooling)
        found = engine.embed(noise)
        assert found.shape == exact.shape
        assert 0.95 < np.corrcoef(found.ravel(), exact.ravel())[0, 1] < 0.99999
        # A row does not depend on the others.
        np.testing.assert_array_equal(engine.embed(noise[[5, 3]]), found[[5, 3]])
    assert list(engine.versions()) == ["openvino", "cpu"]
    with pytest.raises(UsageError, match="does not allow color 'rgb'; choose gray"):
        featx.ExtractionConfig(network, color="rgb")
    with pytest.raises(UsageError, match="is in int8 already"):
        featx.quantize(network, list(noise), out=folder / "again.xml")
    (row,) = backbone_rows(name=network.name, cache=folder)
    assert row["quantized_from"] == {**source, "images": 12}


def test_another_process_needs_the_files_alone(folder, noise, tmp_path):
    for suffix in (".xml", ".bin", ".json"):
        shutil.copy(folder / f"net{suffix}", tmp_path)
    np.save(tmp_path / "pixels.npy", noise)
    paths = [tmp_path / name for name in ("net.xml", "pixels.npy", "found.npy")]
    process = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, paths)],
        env={**os.environ, "HOME": str(tmp_path), "FEATX_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout) == (0, ""), process.stderr
    network = f"openvino:{folder / 'net.xml'}"
    here = featx.extract(list(noise), network, views=1, cache=tmp_path / "here")
    np.testing.assert_array_equal(np.load(paths[2]), here.X)
    weights = bytearray((tmp_path / "net.bin").read_bytes())
    weights[1000] ^= 1
    (tmp_path / "net.bin").write_bytes(weights)
    with pytest.raises(UsageError, match="damaged or replaced: copy the network with its card"):
        get_backbone(f"openvino:{paths[0]}")
    (tmp_path / "net.bin").unlink()
    with pytest.raises(UsageError, match=r"weights in 'net\.bin', which is not in its folder"):
        get_backbone(f"openvino:{paths[0]}")


def test_a_sample_of_readable_training_images_is_used(
    chest, images, image_folder, tmp_path, monkeypatch
):
    splits = np.where(np.arange(len(images)) < 10, "train", "test")
    split, settings = images.with_splits(splits), {"cache": tmp_path / "cache"}
    network = featx.quantize(chest, split, out=tmp_path / "a.xml", **settings)
    training = {images.digest(number) for number in range(10)}
    assert set(network.quantized_from["images"]) == training
    monkeypatch.setattr(quantized, "QUANTIZATION_IMAGES", 7)
    monkeypatch.setattr(quantized, "quantize_network", lambda *given: given)
    with pytest.raises(UsageError, match=r"outside test splits, and none of these 24 is"):
        featx.quantize(chest, images.with_splits(["test"] * 24), out=tmp_path / "b.xml")
    seen = []

    def stop(_record, _weights, views, _pooling):
        seen.append(len(views))
        raise FeatxError("stop")

    monkeypatch.setattr(quantized, "quantize_network", stop)
    with pytest.raises(FeatxError, match="stop"):
        featx.quantize(chest, split, out=tmp_path / "b.xml", **settings)
    assert seen == [7]
    for path in image_folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(FeatxError, match="none of the images to quantize on can be read"):
        featx.quantize(chest, images, out=tmp_path / "b.xml", **settings)
    assert not list(tmp_path.glob("b.*"))


def test_names_files_and_extras_are_checked_before_any_work(chest, images, tmp_path, monkeypatch):
    monkeypatch.setattr(quantized, "as_images", lambda *_, **__: pytest.fail("images were read"))
    (tmp_path / "taken.json").write_text("{}")
    for name, message in (
        ("net.onnx", "has to end with .xml"),
        ("taken.xml", r"neither it nor taken\.bin and \.json may exist"),
        ("net@64.xml", "without @ and"),
    ):
        with pytest.raises(UsageError, match=message):
            featx.quantize(chest, images, out=tmp_path / name)
    with pytest.raises(UsageError, match="no extraction setting 'coulor'; did you mean 'color'"):
        featx.quantize(chest, images, out=tmp_path / "net.xml", coulor="rgb")
    monkeypatch.undo()
    monkeypatch.setattr("featx.features.quantized.openvino_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[int8\]"'):
        featx.quantize(chest, images, out=tmp_path / "net.xml", cache=tmp_path)


def test_a_full_disk_leaves_none_of_the_files(chest, images, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    write = Path.write_bytes

    def full(path, content):
        if (path.parent, path.suffix) == (folder, ".bin"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FeatxError, match="the disk is full"):
        featx.quantize(chest, images, out=folder / "net.xml", cache=tmp_path)
    assert not list(folder.iterdir())
    monkeypatch.undo()
    assert featx.quantize(chest, images, out=folder / "net.xml", cache=tmp_path).features == 6


def test_a_benchmark_states_what_int8_costs_and_which_test_images_it_was_quantized_on(
    chest, images, tmp_path
):
    network = featx.quantize(chest, images, out=tmp_path / "net.xml", cache=tmp_path)
    settings = {"views": 1, "learning_curve": False, "controls": False, "cache": tmp_path}
    table = featx.benchmark(images, [chest, network], "logistic", out=tmp_path / "out", **settings)
    exact, short = table
    assert short.float32.other == exact.name
    notes = [note.text for note in table.notes]
    known = [text for text in notes if f"images are among those that {network.name} was" in text]
    assert len(known) == 1
    (card,) = (tmp_path / "out" / "models").glob("openvino-*.md")
    assert known[0] in card.read_text()
    # By results.json alone, as `featx verify` compares.
    assert featx.verify(tmp_path / "out").mismatches == ()
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "images" not in json.dumps(stored[1]["recipes"][0]["origin"]["quantized_from"])

    model = featx.load_model(tmp_path / "out" / "models" / f"{short.name}.skops")
    found = featx.predict(model, images, weights_dir=tmp_path, cache=tmp_path)
    assert "quantized-on" in [finding.kind for finding in found.findings]
    maps = featx.explain(model, images.select([0]), out=tmp_path / "maps", weights_dir=tmp_path)
    assert maps
    others = featx.quantize(
        chest, images.select(np.arange(3)), out=tmp_path / "other.xml", cache=tmp_path
    )
    table = featx.benchmark(
        images.with_splits(["train"] * 16 + ["test"] * 8), [others], "logistic", **settings
    )
    assert not [note for note in table.notes if "was quantized on" in note.text]
