"""Converted networks kept on disk: the same bits, without Keras, whatever happens to the files."""

import importlib.util
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from featx.backbones import engines
from featx.backbones._openvino import OneByOne, convert
from featx.backbones.engines import make_engine, pooled_model
from featx.backbones.kept import kept_network
from featx.errors import FeatxError
from featx.runtime.process_state import network_state

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None
    or os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="OpenVINO is not installed, or Keras not on TensorFlow",
)

PIXELS = np.arange(48, dtype=np.float32).reshape(3, 4, 4, 1)
MEANS = [[8.5], [24.5], [40.5]]


class Converter:
    """Counts how often a network is converted, which adds a number to the mean of an image."""

    def __init__(self, added=1.0):
        self.added = added
        self.calls = 0

    def __call__(self):
        import openvino
        from openvino import opset13 as ops

        self.calls += 1
        pixels = ops.parameter([1, 4, 4, 1], np.float32)
        mean = ops.reduce_mean(pixels, np.array([1, 2]))
        return openvino.Model([ops.add(mean, np.float32(self.added))], [pixels])


def files_of(folder, pattern="tiny-*.zip"):
    return sorted(folder.glob(pattern))


def features_of(*given):
    """Features by a network that may be kept."""
    return kept_network(*given).outputs(PIXELS)[0]


def test_a_network_is_converted_once_for_each_key(tmp_path):
    converter, other = Converter(), Converter(5.0)
    for _ in range(3):
        found = kept_network(tmp_path, "tiny", {"versions": {"openvino": "1"}}, converter).outputs(
            PIXELS
        )[0]
        np.testing.assert_array_equal(found, MEANS)
    assert converter.calls == 1
    new = features_of(tmp_path, "tiny", {"versions": {"openvino": "2"}}, other)
    np.testing.assert_array_equal(new, np.array(MEANS) + 4)
    assert other.calls == 1 and len(files_of(tmp_path)) == 2
    notes = [json.loads(note.read_text()) for note in files_of(tmp_path, "tiny-*.json")]
    assert sorted(note["versions"]["openvino"] for note in notes) == ["1", "2"]
    # Nothing is kept where no folder is given.
    kept_network(None, "tiny", {}, converter)
    assert converter.calls == 2


@pytest.mark.parametrize("how", ["flip", "truncate", "note", "gone"])
def test_a_damaged_network_is_set_aside_and_converted_again(tmp_path, how, caplog):
    converter = Converter()
    kept_network(tmp_path, "tiny", {}, converter)
    (network,), (note,) = files_of(tmp_path), files_of(tmp_path, "tiny-*.json")
    content = bytearray(network.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
        network.write_bytes(content)
    elif how == "truncate":
        network.write_bytes(content[:100])
    elif how == "note":
        note.write_text("{")
    else:
        network.unlink()
    np.testing.assert_array_equal(features_of(tmp_path, "tiny", {}, converter), MEANS)
    kept_network(tmp_path, "tiny", {}, converter)
    assert converter.calls == 2
    damaged = how in ("flip", "truncate")
    assert (tmp_path / "damaged" / network.name).exists() is damaged
    assert (f"The network {network} is damaged" in caplog.text) is damaged


def test_a_folder_that_cannot_be_written_costs_a_message_alone(tmp_path, caplog):
    (tmp_path / "file").touch()
    converter = Converter()
    found = features_of(tmp_path / "file" / "networks", "tiny", {}, converter)
    np.testing.assert_array_equal(found, MEANS)
    assert "tiny must be converted again in the next run" in caplog.text


def test_writers_at_once_leave_whole_networks(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda _: features_of(tmp_path, "tiny", {}, Converter()),
                range(8),
            )
        )
    for each in found:
        np.testing.assert_array_equal(each, MEANS)
    assert {path.suffix for path in tmp_path.iterdir()} == {".zip", ".json"}
    again = Converter()
    np.testing.assert_array_equal(features_of(tmp_path, "tiny", {}, again), MEANS)
    assert again.calls == 0 and len(files_of(tmp_path, "tiny-*.json")) == 1


def test_kept_networks_give_the_bits_of_converted_ones(
    small_mobilenet, pixels_64, tmp_path, monkeypatch
):
    backbone, weights, base = small_mobilenet
    with network_state():
        fresh = OneByOne(convert(pooled_model(base, backbone, 1, "average")))
    (expected,) = fresh.outputs(pixels_64[..., None])
    first = make_engine(backbone, weights, "openvino", networks=tmp_path)
    np.testing.assert_array_equal(first.embed(pixels_64), expected)

    def refuse(*_):
        raise FeatxError("converted again")

    monkeypatch.setattr(engines, "load_base", refuse)
    again = make_engine(backbone, weights, "openvino", networks=tmp_path)
    np.testing.assert_array_equal(again.embed(pixels_64), expected)
    assert again.versions() == first.versions()
    # Other channels, poolings, weights and versions are other networks.
    colored = np.repeat(pixels_64[..., None], 3, axis=-1)
    others = [(weights, "average", colored), (weights, "max", pixels_64)]
    others.append((replace(weights, digest="random-4"), "average", pixels_64))
    for source, pooling, pixels in others:
        with pytest.raises(FeatxError, match="converted again"):
            make_engine(backbone, source, "openvino", pooling, networks=tmp_path).embed(pixels)
    newer = {name: f"{version}.1" for name, version in first.versions().items()}
    monkeypatch.setattr(engines, "chosen_versions", lambda *_: newer)
    with pytest.raises(FeatxError, match="converted again"):
        make_engine(backbone, weights, "openvino", networks=tmp_path).embed(pixels_64)
