import hashlib
import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from featx.backbones import engines
from featx.backbones._keras import import_keras
from featx.backbones.engines import KerasEngine, make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights, load_base
from featx.errors import MissingExtraError, UsageError
from featx.runtime import parallel as jobs
from tests.backbones.conftest import check_record, keras_preprocessing, relative_error

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None
    or os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="OpenVINO is not installed, or Keras not on TensorFlow",
)


@pytest.fixture(scope="module", params=["keras", pytest.param("openvino", marks=needs_openvino)])
def engine(request, small_mobilenet):
    backbone, weights, base = small_mobilenet
    if request.param == "keras":
        return KerasEngine(base, backbone, batch_size=4)
    return make_engine(backbone, weights, "openvino")


def test_bits_of_a_row_depend_on_its_image_alone(engine, pixels_64):
    features = engine.embed(pixels_64)
    assert features.dtype == np.float32
    assert features.shape == (11, 1280)
    assert len(np.unique(features, axis=0)) == 11
    order = np.random.default_rng(1).permutation(11)
    np.testing.assert_array_equal(engine.embed(pixels_64[order]), features[order])
    for rows in ([5], [10, 0], [1, 2, 3, 4, 5, 6, 7]):
        np.testing.assert_array_equal(engine.embed(pixels_64[rows]), features[rows])
    np.testing.assert_array_equal(engine.embed(pixels_64), features)
    assert engine.embed(pixels_64[:0]).shape == (0, 1280)
    keras = import_keras()
    versions = {"keras": keras.__version__}
    assert versions.items() <= engine.versions().items()
    backend = [] if engine.name == "keras" else ["openvino"]
    assert list(engine.versions()) == ["keras", keras.backend.backend(), *backend]


def test_gray_is_repeated_to_three_channels(engine, pixels_64):
    gray = pixels_64[:3]
    features = engine.embed(gray)
    np.testing.assert_array_equal(engine.embed(gray[..., None]), features)
    colored = engine.embed(np.repeat(gray[..., None], 3, axis=-1))
    np.testing.assert_allclose(colored, features, rtol=1e-5, atol=1e-6)
    red = np.concatenate([gray[..., None], np.zeros((3, 64, 64, 2), np.float32)], axis=-1)
    assert relative_error(engine.embed(red), features) > 1e-2


@pytest.mark.parametrize("shape", [(2, 32, 64), (64, 64), (2, 64, 64, 4), (2, 3, 64, 64)])
def test_pixels_of_another_shape_are_refused(small_mobilenet, shape):
    backbone, _, base = small_mobilenet
    with pytest.raises(UsageError, match="loaded for images of 64 x 64"):
        KerasEngine(base, backbone).embed(np.zeros(shape, np.float32))


@needs_openvino
def test_engines_agree_on_real_weights(lite0, lite0_weights, lite0_base):
    pixels = np.random.default_rng(0).uniform(0, 255, (3, *lite0.size)).astype(np.float32)
    expected = KerasEngine(lite0_base, lite0, batch_size=3).embed(pixels)
    found = make_engine(lite0, lite0_weights, "openvino").embed(pixels)
    assert relative_error(found, expected) < 1e-4


# One of each family, since the others repeat its layers; EfficientNet-Lite has tests of its own.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["inceptionv3", "resnet50", "densenet121", "xception", "vgg16"])
def test_features_are_those_of_keras_on_every_engine(name, monkeypatch):
    keras = import_keras()
    side = get_backbone(name).minimum_size
    backbone = get_backbone(f"{name}@{side}")
    weights = find_weights(backbone, "random")
    base = load_base(backbone, weights)
    monkeypatch.setattr(engines, "load_base", lambda *_: base)
    check_record(backbone, base)
    generator = np.random.default_rng(1)
    for layer in base.layers:
        # Statistics that matter, as a trained network has them.
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    pixels = generator.uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    model = keras.Model(base.input, [base.get_layer(s.layer).output for s in backbone.stages])
    # Called directly, which is quicker than to trace it for one batch.
    outputs = model(keras_preprocessing(name)(pixels.copy()), training=False)
    maps = [keras.ops.convert_to_numpy(output).astype(np.float64) for output in outputs]
    expected = [f(each, axis=(1, 2)) for each in maps for f in (np.mean, np.std)]
    ends = np.cumsum([block.shape[1] for block in expected])[:-1]
    # Average pooling takes the means of the last maps, which are among these features.
    loaded = [KerasEngine(base, backbone, 2, "multi_depth")]
    if not needs_openvino.args[0]:
        loaded.append(make_engine(backbone, weights, "openvino", "multi_depth"))
    for engine in loaded:
        found = np.split(engine.embed(pixels), ends, axis=1)
        for mine, block in zip(found, expected, strict=True):
            assert block.std() > 0 or maps[-1].shape[1:3] == (1, 1)
            # Of a single place the standard deviation is 1e-6, its floor.
            np.testing.assert_allclose(mine, block, rtol=0, atol=1e-4 * np.abs(block).max() + 2e-6)
    keras.backend.clear_session()


@pytest.mark.parametrize(
    ("openvino", "gpu", "expected"),
    [
        pytest.param(True, False, "openvino", marks=needs_openvino),
        (True, True, "keras"),
        (False, False, "keras"),
    ],
)
def test_auto_takes_the_fastest_engine(small_mobilenet, monkeypatch, openvino, gpu, expected):
    backbone, weights, base = small_mobilenet
    monkeypatch.setattr(engines, "load_base", lambda *_: base)
    monkeypatch.setattr(engines, "openvino_installed", lambda: openvino)
    monkeypatch.setattr(engines, "_gpu_visible", lambda: gpu)
    assert make_engine(backbone, weights).name == expected


def test_wrong_use_is_answered_clearly(small_mobilenet, monkeypatch):
    backbone, weights, _ = small_mobilenet
    with pytest.raises(UsageError, match=r"no engine 'onnx'.*known: auto, keras, openvino"):
        make_engine(backbone, weights, "onnx")
    monkeypatch.setattr(engines, "openvino_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[openvino\]"'):
        make_engine(backbone, weights, "openvino")


FRESH_PROCESS = """
import hashlib, sys
import numpy as np
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights, load_base
assert "keras" not in sys.modules and "tensorflow" not in sys.modules
backbone = get_backbone("mobilenetv2@64")
weights = find_weights(backbone, "random", random_state=3)
base = load_base(backbone, weights)
from featx.backbones.engines import KerasEngine, make_engine
pixels = np.zeros((1, 64, 64), np.float32)
KerasEngine(base, backbone, batch_size=1).embed(pixels)
if sys.argv[1] == "openvino":
    make_engine(backbone, weights, "openvino").embed(pixels)
print(hashlib.sha256(b"".join(w.tobytes() for w in base.get_weights())).hexdigest())
"""


def test_a_fresh_process_is_silent_private_and_draws_the_same_weights(small_mobilenet, tmp_path):
    """One process serves three checks, since starting TensorFlow takes seconds."""
    engine = "keras" if needs_openvino.args[0] else "openvino"
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in ("TF_CPP_MIN_LOG_LEVEL", "CI"):
        environment.pop(name, None)
    process = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, engine],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stderr == ""
    weights = small_mobilenet[2].get_weights()
    digest = hashlib.sha256(b"".join(w.tobytes() for w in weights)).hexdigest()
    assert process.stdout.strip() == digest
    # OpenVINO's telemetry keeps its client identifier there when it is at work.
    assert not (tmp_path / "intel").exists()


@needs_openvino
def test_a_network_with_few_threads_is_tied_to_no_core(small_mobilenet, pixels_64, monkeypatch):
    backbone, weights, _ = small_mobilenet
    monkeypatch.setattr(jobs, "_engine_threads", 1)
    engine = make_engine(backbone, weights, "openvino")
    engine.embed(pixels_64)
    own = os.sched_getaffinity(0)
    seen = set()
    with ThreadPoolExecutor(1) as pool:
        embedding = pool.submit(lambda: [engine.embed(pixels_64) for _ in range(20)])
        while not embedding.done():
            for task in Path("/proc/self/task").iterdir():
                with suppress(ProcessLookupError):
                    seen.add(frozenset(os.sched_getaffinity(int(task.name))))
    # Two processes that are tied to the first core share it, and leave the others idle.
    assert seen == {frozenset(own)}
