"""What the program around featx has set changes no feature, or is named in one line."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

import featx
from featx.features.pipeline import ENGINES
from featx.runtime.process_state import image_state
from tests.conftest import smooth_image
from tests.features.worker import QuickEngine
from tests.process_states import STATES, state

BACKBONE = "efficientnet_lite0@64"
ENGINE_NAMES = ("keras", *(["openvino"] if importlib.util.find_spec("openvino") else []))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Gray and color images, and a TIFF that was cut short."""
    root, generator = tmp_path_factory.mktemp("state") / "xrays", np.random.default_rng(0)
    for name in ("NORMAL", "PNEUMONIA"):
        (root / name).mkdir(parents=True)
        for number in range(2):
            pixels = smooth_image(generator, (90, 110))
            Image.fromarray(pixels).save(root / name / f"{name}{number}.png")
    Image.fromarray(pixels).convert("RGB").save(root / "NORMAL" / "color.jpg")
    cut = root / "NORMAL" / "cut.tif"
    Image.fromarray(pixels).save(cut)
    cut.write_bytes(cut.read_bytes()[:6000])
    return root


def extract(folder, engine, cache, views=2):
    ENGINES.clear()
    return featx.extract(
        folder, BACKBONE, views=views, engine=engine, cache=cache, patients=r"(\w+)\."
    )


@pytest.fixture(scope="module")
def expected(folder, tmp_path_factory):
    """Features in a process as it is, by engine, and a cache with the first view of each image."""
    found = {}
    for engine in ENGINE_NAMES:
        cache = tmp_path_factory.mktemp(engine)
        extract(folder, engine, cache, views=1)
        shutil.copytree(cache, half := tmp_path_factory.mktemp(engine) / "half")
        found[engine] = extract(folder, engine, cache), half
    return found


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize(
    "name", ["all together", *(pytest.param(each, marks=pytest.mark.slow) for each in STATES)]
)
def test_features_are_the_same_in_every_state(
    name, engine, folder, expected, tmp_path, networks_loaded_anew
):
    plain, half = expected[engine]
    shutil.copytree(half, tmp_path / "warm")
    with state(name):
        found = [extract(folder, engine, tmp_path / cache) for cache in ("cold", "warm")]
    for matrix in found:
        np.testing.assert_array_equal(matrix.X, plain.X)
        assert [path for path, _ in matrix.unreadable] == ["NORMAL/cut.tif"]


def test_predictions_are_the_same_in_every_state(folder, expected, tmp_path, networks_loaded_anew):
    model = featx.fit(expected["keras"][0], "naive_bayes", cv=2, n_jobs=1)

    def predict(cache):
        ENGINES.clear()
        return model.predict_files(folder, engine="keras", cache=tmp_path / cache).probabilities

    plain = predict("plain")
    with state("all together"):
        np.testing.assert_array_equal(predict("cold"), plain)


def test_the_last_thread_restores_what_the_program_set(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    entered, leave = threading.Event(), threading.Event()

    def decode():
        with image_state():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=decode)
    thread.start()
    entered.wait(60)
    with image_state():
        assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    # The program changes it while an image is decoded; the next image is decoded by our own.
    ImageFile.LOAD_TRUNCATED_IMAGES = "the program's"
    with image_state():
        assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    leave.set()
    thread.join()
    assert ImageFile.LOAD_TRUNCATED_IMAGES == "the program's"


def run(code, *words, environment=(), stdio=""):
    """Run Python code in a process of its own; `stdio` are redirections of the shell."""
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **dict(environment)}
    command = ["sh", "-c", f'exec "$@" {stdio}', "sh", sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)


COMMAND = "import sys; from featx.cli import main; main(sys.argv[1:])"


def settings_file(tmp_path, **settings):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    return {"KERAS_HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERAS_BACKEND", "pytorch"),
        ("KERAS_BACKEND", "TensorFlow"),
        ("KERAS_BACKEND", "numpy"),
        ("keras.json", {"backend": "theano"}),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
        ("DNNL_DEFAULT_FPMATH_MODE", "any"),
        ("TF_SET_ONEDNN_FPMATH_MODE", "BF16"),
        pytest.param("PYTHONOPTIMIZE", "2", marks=pytest.mark.slow),
        pytest.param("KERAS_NNX_ENABLED", "true", marks=pytest.mark.slow),
        pytest.param("KERAS_MAX_EPOCHS", "many", marks=pytest.mark.slow),
        pytest.param("keras.json", {"floatx": "float8"}, marks=pytest.mark.slow),
    ],
)
def test_an_environment_that_would_change_features_is_named_in_one_line(
    name, value, folder, tmp_path
):
    environment = {name: value} if isinstance(value, str) else settings_file(tmp_path, **value)
    options = ("--patients", r"(\w+)\.", "--cache", tmp_path / "cache", "--out", tmp_path / "m.h5")
    ended = run(COMMAND, "extract", folder, *options, environment=environment)
    assert ended.returncode in (1, 2)
    message = ended.stderr.strip().splitlines()[-1]
    assert message.startswith("featx: ")
    assert name in message
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_back_end_that_is_not_installed_is_named(folder, tmp_path):
    options = ("--cache", tmp_path / "cache", "--out", tmp_path / "m.h5")
    ended = run(COMMAND, "extract", folder, *options, environment={"KERAS_BACKEND": "torch"})
    assert ended.returncode == 2
    assert "$KERAS_BACKEND is 'torch', which is not installed" in ended.stderr
    assert "Traceback" not in ended.stderr


# Extracts by each engine, and writes errors where the process has no streams.
EXTRACTION = """
import sys, traceback, numpy as np, featx
from pathlib import Path
folder, out, *engines = sys.argv[1:]
try:
    for engine in engines:
        matrix = featx.extract(
            folder, "efficientnet_lite0@64", views=2, engine=engine, cache=f"{out}/{engine}",
            patients=r"(\\w+)\\.",
        )
        np.save(f"{out}/{engine}.npy", matrix.X)
except BaseException:
    Path(out, "error.txt").write_text(traceback.format_exc())
"""
ENVIRONMENTS = {
    "legacy Keras": {"TF_USE_LEGACY_KERAS": "1"},
    "empty back end": {"KERAS_BACKEND": ""},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "no assertions": {"PYTHONOPTIMIZE": "1"},
    "epochs": {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1"},
    "oneDNN strict": {"ONEDNN_DEFAULT_FPMATH_MODE": "STRICT"},
    "keras.json": {"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"},
    "no streams": {},
    "no standard error": {},
}
STREAMS = {"no streams": "<&- >&- 2>&-", "no standard error": "2>&-"}


@pytest.mark.parametrize(
    "name", ["all together", *(pytest.param(e, marks=pytest.mark.slow) for e in ENVIRONMENTS)]
)
def test_features_are_the_same_in_every_environment(name, folder, expected, tmp_path):
    names = ENVIRONMENTS if name == "all together" else [name]
    environment = {}
    for each in names:
        given = ENVIRONMENTS[each]
        environment |= settings_file(tmp_path, **given) if each == "keras.json" else given
    stdio = STREAMS["no streams"] if name == "all together" else STREAMS.get(name, "")
    ended = run(EXTRACTION, folder, tmp_path, *ENGINE_NAMES, environment=environment, stdio=stdio)
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "error.txt").exists(), (tmp_path / "error.txt").read_text()
    for engine in ENGINE_NAMES:
        np.testing.assert_array_equal(np.load(tmp_path / f"{engine}.npy"), expected[engine][0].X)


def test_the_working_directory_may_change_during_an_extraction(
    folder, tmp_path, monkeypatch, use_engine
):
    shutil.copytree(folder, tmp_path / "xrays")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    class Moving(QuickEngine):
        def embed(self, pixels):
            monkeypatch.chdir(tmp_path / "elsewhere")
            return super().embed(pixels)

    use_engine(lambda embedder: Moving(embedder.backbone.features))
    images = featx.ImageDataset.open("xrays", r"(\w+)\.")
    matrix = featx.extract(images, views=1, cache="cache", out="m.h5")
    assert len(matrix.X[:]) == 5
    assert Path.cwd() == tmp_path / "elsewhere"
    assert list(Path.cwd().iterdir()) == []
    # Opened in one directory, read in another.
    assert len(featx.extract(images, views=1, cache=tmp_path / "new").X) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_limit_on_the_size_of_files_is_named(folder, tmp_path):
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from featx.features.pipeline import ENGINES
from tests.features.worker import quick_engine
ENGINES.factory = quick_engine
from featx.cli import main
main(sys.argv[1:])
"""
    options = ("--patients", r"(\w+)\.", "--cache", tmp_path / "cache", "--out", tmp_path / "m.h5")
    ended = run(code, "extract", folder, *options)
    # HDF5 itself complains, and may crash, as the process ends.
    assert ended.returncode != 0
    [message] = [line for line in ended.stderr.splitlines() if line.startswith("featx: ")]
    assert "cannot be written (File too large)" in message


# In the parent a network runs, by featx or by the program itself; children are forked.
FORK = """
import multiprocessing, sys
from pathlib import Path
folder, cache, parent = sys.argv[1:]
settings = {"backbones": "efficientnet_lite0@64", "cache": cache, "patients": r"(\\w+)\\."}

def child(views, out):
    import featx
    from featx.errors import FeatxError

    try:
        text = repr(featx.extract(folder, views=views, **settings))
    except FeatxError as error:
        text = str(error)
    Path(out).write_text(text)

if parent == "TensorFlow":
    import tensorflow
    tensorflow.zeros(3)
elif parent == "import":
    import tensorflow
else:
    import featx
    featx.extract(folder, views=1, engine=parent, **settings)
for views in (1, 2):
    out = f"{cache}/{views}.txt"
    process = multiprocessing.get_context("fork").Process(target=child, args=(views, out))
    process.start()
    process.join(120)
    hangs = process.is_alive()
    process.kill()
    print("hangs" if hangs else Path(out).read_text())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    "parent",
    [
        "keras",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ENGINE_NAMES[1:]),
        pytest.param("TensorFlow", marks=pytest.mark.slow),
        pytest.param("import", marks=pytest.mark.slow),
    ],
)
def test_a_process_forked_from_a_network_uses_the_cache_and_never_hangs(
    parent, image_folder, tmp_path
):
    # Without an unreadable image, which would be tried anew each time.
    ended = run(FORK, image_folder, tmp_path, parent)
    assert ended.returncode == 0, ended.stderr
    one, two = ended.stdout.strip().splitlines()
    if parent in ("keras", "openvino", "import"):
        assert one.startswith("FeatureMatrix(")
    assert ("spawn" in two) == (parent != "import")
    assert "hangs" not in ended.stdout
