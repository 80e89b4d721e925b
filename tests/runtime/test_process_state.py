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
from featx.runtime.process_state import image_state, network_state
from tests.conftest import smooth_image
from tests.features.worker import QuickEngine
from tests.process_states import IMAGE_STATES, STATES, all_together

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


@pytest.mark.parametrize("name", STATES)
def test_every_state_is_held_at_another_value(name):
    hold = image_state if name in IMAGE_STATES else network_state
    with STATES[name].applied():
        assert STATES[name].is_set
        with hold():
            assert not STATES[name].is_set


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_features_are_the_same_in_every_state(
    engine, folder, expected, tmp_path, networks_loaded_anew
):
    plain, half = expected[engine]
    with all_together():
        found = [extract(folder, engine, tmp_path / "cold"), extract(folder, engine, half)]
        if engine == "keras":
            model = featx.fit(plain, "naive_bayes", cv=2, n_jobs=1)
            predicted = model.predict_files(folder, engine=engine, cache=tmp_path / "predict")
    for matrix in found:
        np.testing.assert_array_equal(matrix.X, plain.X)
        assert [path for path, _ in matrix.unreadable] == ["NORMAL/cut.tif"]
    if engine == "keras":
        np.testing.assert_array_equal(predicted.probabilities, model.predict_images(plain))


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


# One process imports featx and is forked for each case, since importing takes seconds.
NAMED = """
import json, os, sys
from featx.cli import main
from featx.features import extraction
cases, out, *words = sys.argv[1:]
for number, environment in enumerate(json.loads(cases)):
    if not (child := os.fork()):
        os.environ.update(environment)
        os.dup2(os.open(f"{out}/{number}", os.O_CREAT | os.O_WRONLY), 2)
        main(words)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (1, 2), environment
"""
NAMED_VARIABLES = (
    ("KERAS_BACKEND", "pytorch"),
    ("KERAS_BACKEND", "TensorFlow"),
    ("KERAS_BACKEND", "numpy"),
    ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
    ("DNNL_DEFAULT_FPMATH_MODE", "any"),
    ("TF_SET_ONEDNN_FPMATH_MODE", "BF16"),
    ("KERAS_MAX_EPOCHS", "many"),
    *([] if importlib.util.find_spec("torch") else [("KERAS_BACKEND", "torch")]),
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_an_environment_that_would_change_features_is_named_in_one_line(folder, tmp_path):
    environments = [dict([each]) for each in NAMED_VARIABLES]
    environments.append(settings_file(tmp_path, backend="theano"))
    words = ("extract", folder, "--patients", r"(\w+)\.", "--cache", tmp_path / "cache")
    words += ("--out", tmp_path / "m.h5")
    ended = run(NAMED, json.dumps(environments), tmp_path, *words)
    assert ended.returncode == 0, ended.stderr
    errors = [(tmp_path / str(number)).read_text() for number in range(len(environments))]
    ended = run(COMMAND, *words, environment={"PYTHONOPTIMIZE": "2"})
    names = [*(name for name, _ in NAMED_VARIABLES), "keras.json", "PYTHONOPTIMIZE"]
    for name, error in zip(names, [*errors, ended.stderr], strict=True):
        message = error.strip().splitlines()[-1]
        assert message.startswith("featx: ") and name in message
        assert "Traceback" not in error
    if importlib.util.find_spec("torch") is None:
        assert "$KERAS_BACKEND is 'torch', which is not installed" in errors[7]


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
ENVIRONMENT = {
    "TF_USE_LEGACY_KERAS": "1",
    "KERAS_BACKEND": "",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "1",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
}


def test_features_are_the_same_in_every_environment(folder, expected, tmp_path):
    """All together and without standard streams; what any of them changed would show."""
    odd = {"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}
    environment = ENVIRONMENT | settings_file(tmp_path, **odd)
    ended = run(
        *(EXTRACTION, folder, tmp_path, *ENGINE_NAMES),
        environment=environment,
        stdio="<&- >&- 2>&-",
    )
    assert ended.returncode == 0
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


# A process that is forked before a network runs in it, after the program's own, and after featx's.
FORK = """
import json, multiprocessing, sys
from pathlib import Path
folder, cache, *engines = sys.argv[1:]
settings = {"backbones": "efficientnet_lite0@64", "patients": r"(\\w+)\\."}

def child(views, cache, out):
    import featx
    from featx.errors import FeatxError

    try:
        text = repr(featx.extract(folder, views=views, cache=cache, **settings))
    except FeatxError as error:
        text = str(error)
    Path(out).write_text(text)

def fork(views, cache):
    out = f"{cache}.txt"
    process = multiprocessing.get_context("fork").Process(target=child, args=(views, cache, out))
    process.start()
    process.join(120)
    hangs = process.is_alive()
    process.kill()
    return "hangs" if hangs else Path(out).read_text()

import tensorflow
found = {"import": fork(1, f"{cache}/import")}
tensorflow.zeros(3)
found["TensorFlow"] = fork(1, f"{cache}/TensorFlow")
import featx
for engine in engines:
    featx.extract(folder, views=1, engine=engine, cache=f"{cache}/{engine}", **settings)
    found[engine] = fork(2, f"{cache}/{engine}")
    found[f"{engine}, cached"] = fork(1, f"{cache}/{engine}")
print(json.dumps(found))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_forked_from_a_network_uses_the_cache_and_never_hangs(image_folder, tmp_path):
    # Without an unreadable image, which would be tried anew each time.
    ended = run(FORK, image_folder, tmp_path, *ENGINE_NAMES)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    computed = ["import", *(f"{engine}, cached" for engine in ENGINE_NAMES)]
    assert all(found.pop(name).startswith("FeatureMatrix(") for name in computed)
    titles = {"openvino": "OpenVINO and TensorFlow"}
    for name, text in found.items():
        assert f"forked after {titles.get(name, 'TensorFlow')} had run" in text
        assert "get_context('spawn')" in text
