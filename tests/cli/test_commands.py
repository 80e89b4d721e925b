import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx
from featx.cli import main
from featx.runtime.files import TEMPORARY_PREFIX
from tests.conftest import WITH_SIGINT

PATIENTS = r"(p\d+)_"


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """Folder of bright and dark images, with a matrix and a model made of them."""
    root = tmp_path_factory.mktemp("road")
    generator = np.random.default_rng(3)
    for label, level, first in (("dark", 60, 0), ("light", 160, 50)):
        (root / "images" / label).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(generator.normal(level, 40, (32, 32)), 0, 255).astype(np.uint8)
            name = f"p{number // 2 + first:02d}_{number}.png"
            Image.fromarray(pixels).save(root / "images" / label / name)
    images = featx.ImageDataset.open(root / "images", PATIENTS)
    matrix = featx.extract(images, views=2, cache=root / "cache")
    matrix.save(root / "matrix.h5")
    other = featx.extract(images, views=2, cache=root / "cache", backbones="efficientnet_lite0@64")
    other.save(root / "small.h5")
    return root


@pytest.fixture(scope="module")
def model(road):
    with pytest.raises(SystemExit) as stop:
        main(["fit", str(road / "matrix.h5"), "--classifier", "logistic", "--out", str(road)])
    assert stop.value.code == 0
    return road / "logistic.skops"


def test_extract_writes_a_matrix(run_featx, image_folder, tmp_path, networks_loaded_anew):
    out = tmp_path / "m.h5"
    command = ["extract", image_folder, "--views", 2, "--patients", PATIENTS, "--out", out]
    code, text, error = run_featx(*command, "--json", "--verbose", "--jobs", 1)
    assert code == 0, error
    for told in ("Weights of efficientnet_lite0", "runs on ", "0 of 48 rows are in the cache"):
        assert told in error
    summary = json.loads(text)
    assert summary["rows"] == 48
    assert featx.FeatureMatrix.load(out).X.shape == (48, summary["features"])


def test_an_archive_with_labels_by_name(run_featx, image_folder, tmp_path):
    packed = shutil.make_archive(str(tmp_path / "images"), "zip", image_folder)
    command = ["extract", packed, "--patients", PATIENTS, "--labels", r"_(\d)\.png", "--views", "1"]
    code, output, error = run_featx(*command, "--out", tmp_path / "matrix.h5", "--json")
    assert code == 0, error
    assert json.loads(output)["class_names"] == ["0", "1"]
    matrix = featx.FeatureMatrix.load(tmp_path / "matrix.h5")
    assert matrix.labels.tolist() == [0, 1] * 12


def test_fit_joins_matrices_and_tells_what_it_chose(run_featx, road, tmp_path):
    matrix = road / "matrix.h5"
    code, text, error = run_featx(
        "fit",
        matrix,
        road / "small.h5",
        "--classifier",
        "naive_bayes,knn",
        "--out",
        tmp_path,
        "--json",
    )
    assert code == 0, error
    assert "40 images: dark 20, light 20; 20 patients" in error.splitlines()[0]
    summaries = json.loads(text)
    assert [summary["classifier"] for summary in summaries] == ["naive_bayes", "knn"]
    assert featx.load_model(summaries[0]["model"]).n_features_in_ == 2560


def test_predict_writes_one_line_an_image(run_featx, road, model, tmp_path):
    out = tmp_path / "predictions.csv"
    (road / "loose").mkdir(exist_ok=True)
    (road / "loose" / "empty.png").touch()
    (road / "loose" / "a.png").write_bytes(
        next((road / "images").rglob("light/*.png")).read_bytes()
    )
    code, text, error = run_featx(
        "predict", model, road / "loose", "--out", out, "--cache", road / "cache", "--json"
    )
    assert code == 0
    assert json.loads(text)["labels"] == {"dark": 0, "light": 1}
    with out.open(newline="") as file:
        good, bad = csv.DictReader(file)
    assert good["path"] == "a.png"
    assert good["label"] == "light"
    assert float(good["probability_dark"]) + float(good["probability_light"]) == pytest.approx(1)
    assert (bad["path"], bad["label"], bad["problem"]) == ("empty.png", "", "the file is empty")
    assert "empty.png: the file is empty" in error


def test_evaluate_scores_labeled_images(run_featx, road, model):
    words = ["evaluate", model, road / "images", "--patients", PATIENTS]
    code, text, _ = run_featx(*words, "--cache", road / "cache", "--json")
    assert code == 0
    scores = json.loads(text)
    assert scores["auc"] > 0.95
    assert scores["auc_low"] < scores["auc"]
    assert scores["collapsed"] is False


def test_benchmark_writes_its_table_and_goes_on_where_it_was(
    run_featx, road, tmp_path, monkeypatch
):
    arguments = ["benchmark", road / "images", "--classifiers", "logistic,naive_bayes"]
    arguments += ["--patients", PATIENTS, "--views", 2, "--cache", road / "cache"]
    arguments += ["--test-size", 0.3, "--no-controls", "--out", tmp_path, "--json"]
    code, text, _ = run_featx(*arguments)
    assert code == 0
    rows = json.loads(text)
    needed = "backbone classifier kind n_train n_test auc auc_low auc_high accuracy "
    needed += "balanced_accuracy sensitivity specificity f1 threshold collapsed seconds_extract "
    needed += "seconds_fit"
    for row in rows:
        assert set(needed.split()) <= set(row)
        assert row["n_train"] + row["n_test"] == 40
    assert json.loads((tmp_path / "results.json").read_text()) == rows
    assert "| efficientnet_lite0, logistic |" in (tmp_path / "table.md").read_text()
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 3
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "efficientnet_lite0-logistic.md",
        "efficientnet_lite0-logistic.skops",
        "efficientnet_lite0-naive_bayes.md",
        "efficientnet_lite0-naive_bayes.skops",
    ]
    scores = (tmp_path / "scores" / "efficientnet_lite0-logistic.csv").read_text().splitlines()
    assert len(scores) == rows[0]["n_test"] + 1

    def never(*_, **__):
        raise AssertionError("a finished row was fitted again")

    monkeypatch.setattr("featx.classifiers.fitting.fit", never)
    code, text, _ = run_featx(*arguments)
    assert code == 0
    assert json.loads(text) == rows


def test_backbones_and_doctor_show_tables_and_json(run_featx, road):
    rows = {row["name"]: row for row in json.loads(run_featx("backbones", "--json")[1])}
    assert len(rows) == 13 and rows["efficientnet_lite0"]["has_weights"]
    assert rows["densenet169"]["features"] == 1664
    assert "inceptionv3" in run_featx("backbones")[1]
    shown = run_featx("backbones", "ResNet-50")[1]
    assert "conv3_block4_out" in shown and "1/8" in shown and "inceptionv3" not in shown
    (row,) = json.loads(run_featx("backbones", "resnet50", "--json")[1])
    assert row["stages"][-1] == {"layer": "conv5_block3_out", "channels": 2048, "stride": 32}
    findings = json.loads(run_featx("doctor", "--cache", road / "cache", "--json")[1])
    assert findings["versions"]["keras"]
    assert findings["cache"]["shards"] >= 1 and findings["cache"]["writable"]
    assert run_featx("doctor")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract", "{images}"], "give --out FILE"),
        (
            ["predict", "{absent}", "{images}", "--out", "p.csv"],
            "does not exist; make one with `featx fit`",
        ),
        (["bench"], "No such command"),
    ],
)
def test_wrong_use_ends_with_2_and_one_message(
    run_featx, road, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    places = {"images": road / "images", "absent": tmp_path / "absent"}
    code, text, error = run_featx(*(argument.format(**places) for argument in arguments))
    assert code == 2
    assert message in error
    assert "Traceback" not in error
    assert text == ""


def test_failures_end_with_1_and_one_message(run_featx, road, model, tmp_path):
    (tmp_path / "weights.h5").write_text("no weights")
    arguments = ["extract", road / "images", "--patients", PATIENTS, "--out", tmp_path / "m.h5"]
    code, _, error = run_featx(*arguments, "--weights", tmp_path / "weights.h5")
    assert code == 1
    assert "cannot be read as a weights file" in error
    (tmp_path / "damaged.skops").write_bytes(model.read_bytes()[:1000])
    words = ["predict", tmp_path / "damaged.skops", road / "images", "--out", tmp_path / "p.csv"]
    code, _, error = run_featx(*words)
    assert code == 1
    assert "damaged.skops" in error and "Traceback" not in error


def test_help_needs_no_tensorflow():
    code = (
        "import sys\nimport featx\nfrom featx.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'xgboost', 'cv2', 'h5py'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("name", ["extract", "fit", "benchmark"])
def test_scripts_take_the_same_words(name):
    script = Path(__file__).parents[2] / "scripts" / f"{name}.py"
    command = [sys.executable, script, "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"Usage: featx {name}" in text


# Waits where it is told to: with the second shard of an extraction, or in the second fit.
WAITING = """
import sys, time
from pathlib import Path
import featx.classifiers.fitting as fitting
from featx.cli import main
from featx.features import pipeline
from tests.features.worker import QuickEngine

place, reached, *words = sys.argv[1:]
calls = []

def wait_in(name, function):
    def second_waits(*arguments, **settings):
        calls.append(name)
        if name == place and calls.count(name) == 2:
            Path(reached).touch()
            time.sleep(600)
        return function(*arguments, **settings)
    return second_waits

pipeline.ROWS_PER_BATCH = pipeline.ROWS_PER_SHARD = 8
pipeline.FeatureStore.add = wait_in("embedding", pipeline.FeatureStore.add)
fitting.fit = wait_in("fitting", fitting.fit)
pipeline.ENGINES.factory = lambda embedder: QuickEngine(embedder.backbone.features)
main(words)
"""


def test_an_interrupted_benchmark_goes_on_where_it_was(road, tmp_path):
    out = tmp_path / "out"
    words = ["benchmark", str(road / "images"), "--patients", PATIENTS, "--views", "2"]
    words += ["--classifiers", "naive_bayes,knn", "--no-controls"]
    words += ["--cache", str(tmp_path / "cache"), "--out", str(out)]
    for place in ("embedding", "fitting"):
        reached = tmp_path / place
        command = [sys.executable, "-c", WAITING, place, str(reached), *words]
        process = subprocess.Popen([*WITH_SIGINT, *command], stderr=subprocess.PIPE, text=True)
        while not reached.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "run the same command again" in error
        assert "Traceback" not in error
        assert not list(tmp_path.rglob(f"{TEMPORARY_PREFIX}*"))
    first = {path.name: path.read_bytes() for path in out.glob("rows/*.json")}
    assert first
    subprocess.run([*command[:3], "nowhere", *command[4:]], check=True, capture_output=True)
    rows = json.loads((out / "results.json").read_text())
    assert [row["classifier"] for row in rows] == ["naive_bayes", "knn"]
    for name, content in first.items():
        assert (out / "rows" / name).read_bytes() == content
