"""No file that featx writes contains a path of the machine or the name of a user."""

import base64
import io
import json
import os
import subprocess
import sys
import zipfile

import pytest
from PIL import Image

from tests.conftest import smooth_image

# The command line, with features that cost nothing, in one process.
SCRIPT = """
import json, sys
from featx.cli import main
from featx.backbones import feature_maps
from featx.features.pipeline import ENGINES
from tests.features.worker import QuickMaps, quick_engine

ENGINES.factory = quick_engine
feature_maps.make_maps = lambda backbone, *_: QuickMaps(backbone.features)
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as stop:
        if stop.code:
            raise
"""

FOLDER, HOME, USER = "Xfolder7391", "Xhome7391", "Xuser7391"


def traces(content, word):
    """Return whether a file contains a word, in any usual encoding or compression."""
    dresses = [word.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    # Wherever base64 begins, the letters in the middle are one of three sequences.
    dresses += [base64.b64encode(bytes(start) + word.encode())[4:-4] for start in range(3)]
    if any(dress in content for dress in dresses):
        return True
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return False
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return any(traces(archive.read(name), word) or word in name for name in archive.namelist())


def run(place, *commands):
    environment = {
        **os.environ,
        "HOME": str(place.parent / HOME),
        "USER": USER,
        "LOGNAME": USER,
        "USERNAME": USER,
        "FEATX_CACHE": str(place / "cache"),
        "XDG_CACHE_HOME": str(place.parent / HOME / "cache"),
    }
    command = [sys.executable, "-c", SCRIPT, json.dumps(commands)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def place(tmp_path, generator):
    """A folder with a telling name, and X-rays in it; one cannot be read."""
    place = tmp_path / FOLDER
    for label, first in (("NORMAL", 0), ("PNEUMONIA", 30)):
        (place / "xrays" / label).mkdir(parents=True)
        for number in range(first, first + 30):
            pixels = smooth_image(generator)
            Image.fromarray(pixels).save(place / "xrays" / label / f"p{number}_0.png")
    (place / "xrays" / "NORMAL" / "p1_1.png").write_bytes(b"no picture")
    (place / "weights").mkdir()
    (tmp_path / HOME).mkdir()
    return place


def check(place, *names):
    written = [path for name in names for path in (place / name).rglob("*") if path.is_file()]
    assert written
    telling = [
        f"{path.relative_to(place)}: {word}"
        for path in written
        for word in (FOLDER, HOME, USER)
        if word in str(path.relative_to(place)) or traces(path.read_bytes(), word)
    ]
    assert not telling
    return {path.name for path in written}


def test_the_search_finds_what_it_looks_for():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", f'"/home/{USER}/x"' * 9)
    assert traces(buffer.getvalue(), USER)
    assert not traces(buffer.getvalue(), HOME)
    for start in range(3):
        assert traces(b"..." + base64.b64encode(b"a" * start + b"/home/" + USER.encode()), USER)


def test_matrices_models_and_cache_tell_nothing(place):
    folder = str(place / "xrays")
    shared = ["--patients", r"(p\d+)_", "--views", "2"]
    listed = place / "list.csv"
    # Paths are stored as they are given: absolute ones would name the folders.
    lines = [
        f"{path.relative_to(place)},{path.parent.name}" for path in place.glob("xrays/*/*.png")
    ]
    listed.write_text("\n".join(["path,label", *sorted(lines)]))
    svm = str(place / "models" / "svm.skops")
    models = ["--classifier", "logistic,svm,knn,random_forest,xgboost", "--folds", "2"]
    run(
        place,
        ["extract", folder, *shared, "--out", str(place / "out" / "m.h5")],
        ["extract", str(listed), *shared, "--out", str(place / "out" / "listed.h5")],
        ["fit", str(place / "out" / "m.h5"), *models, "--out", str(place / "models")],
        ["predict", svm, folder, "--rehash", "--out", str(place / "out" / "p.csv")],
        ["explain", str(place / "models" / "logistic.skops"), folder, "--out", str(place / "maps")],
    )
    names = check(place, "out", "models", "cache", "maps")
    assert {"m.h5", "listed.h5", "svm.skops", "xgboost.skops", "p.csv", "recipe.json"} <= names
    assert {"contact_sheet.png", "explanations.json"} <= names


@pytest.mark.slow
def test_a_benchmark_s_folder_tells_nothing(place):
    run(
        place,
        [
            *("benchmark", str(place / "xrays"), "--patients", r"(p\d+)_", "--views", "2"),
            *("--classifiers", "logistic", "--folds", "2", "--out", str(place / "results")),
            *("--baselines", "kaushik-1"),
            *("--baseline-epochs", "1", "--baseline-size", "32"),
            *("--weights-dir", str(place / "weights"), "--rehash"),
        ],
    )
    names = check(place, "results", "cache")
    assert {"results.json", "table.md"} <= names
