"""Files of tuned weights: named by their content, found by it, and refused by name."""

import hashlib

import h5py
import numpy as np
import pytest

from featx.backbones.registry import canonical_name, get_backbone
from featx.backbones.tuned import TunedFile, find_tuned, read_tuned, write_tuned
from featx.backbones.weights import find_weights, find_weights_again
from featx.errors import FeatxError, UsageError
from featx.features.config import ExtractionConfig


class Base:
    """A network of one weight."""

    def save_weights(self, path):
        with h5py.File(path, "w") as file:
            file["layers/dense/vars/0"] = np.ones(3)


@pytest.fixture
def path(tmp_path):
    members = {"images": np.array([5, 7]), "patients": np.array([9]), "key": "k"}
    return write_tuned(Base(), tmp_path / "tuned", TunedFile("vgg16", 64, members, {"epochs": 2}))


def test_a_file_is_named_by_its_content_and_says_what_it_was_tuned_on(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f"vgg16-{digest[:16]}.weights.h5"
    tuned = read_tuned(path)
    assert (tuned.backbone, tuned.size, tuned.facts) == ("vgg16", 64, {"epochs": 2})
    assert [tuned.members[name].tolist() for name in ("images", "patients")] == [[5, 7], [9]]
    assert tuned.members["key"] == "k"


def test_a_backbone_by_its_file_has_the_size_of_its_tuning(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backbone = get_backbone(f"tuned:tuned/{path.name}")
    assert (backbone.name, backbone.size, backbone.features) == ("tuned:vgg16", (64, 64), 512)
    assert get_backbone(f"tuned:{path}@96").size == (96, 96)
    assert canonical_name("Tuned:VGG-16@96") == "tuned:vgg16@96"
    found = find_weights(backbone)
    assert found.path == path
    assert found.digest.startswith(path.name.removeprefix("vgg16-")[:16])
    # A config names the same file from every working directory, and records no path.
    config = ExtractionConfig(f"tuned:tuned/{path.name}")
    assert config.backbones == (f"tuned:{path}",)
    assert config.to_dict()["backbones"] == ["tuned:vgg16"]


def test_weights_are_found_by_their_digest_alone(path, tmp_path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    renamed = path.rename(tmp_path / "renamed.weights.h5")
    assert find_tuned("tuned:vgg16", digest, [tmp_path / "no", renamed]) == renamed
    with pytest.raises(FeatxError, match=rf"vgg16-{digest[:16]}\S+ are not in .*--weights-dir"):
        find_weights_again("tuned:vgg16", digest, tmp_path)
    # Another content under the right name.
    path.write_bytes(b"other")
    with pytest.raises(FeatxError, match="other weights"):
        find_weights_again("tuned:vgg16", digest, path.parent)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tuned:nowhere.weights.h5", "nowhere.weights.h5 does not exist"),
        ("tuned:plain.weights.h5", "plain.weights.h5 cannot be read"),
        ("tuned:resnet-5", "no backbone 'resnet-5'"),
    ],
)
def test_what_is_no_tuned_backbone_is_named(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    Base().save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(UsageError, match=message):
        get_backbone(name)


def test_a_network_that_is_yet_to_be_tuned_has_no_weights():
    with pytest.raises(UsageError, match="tuned:FILE"):
        find_weights(get_backbone("tuned:vgg16"))
    with pytest.raises(UsageError, match="those of its file, not random"):
        ExtractionConfig("tuned:vgg16", weights="random")
