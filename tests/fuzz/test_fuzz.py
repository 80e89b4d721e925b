"""Changed inputs give a message or a right answer: no traceback, crash or hang.

``FEATX_FUZZ_CASES`` is the number of cases (200), ``FEATX_FUZZ_FIRST`` the number of the first (0):
a failure is repeated with its number and one case.
"""

import json
import os
import random
import selectors
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.features.matrix import FeatureMatrix
from tests.conftest import smooth_image
from tests.fuzz.cases import EXTRACT, make_case

ROOT = Path(__file__).parents[2]

SECONDS_A_CASE = 120
LARGEST_MEMORY = 12 * 2**30


class Worker:
    """A process that runs commands, and is started again where one ends it."""

    def __init__(self, cache):
        self.environment = {**os.environ, "FEATX_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        self.process = None

    def run(self, folder, words):
        if self.process is None:
            limit = ["prlimit", f"--as={LARGEST_MEMORY}"] if shutil.which("prlimit") else []
            self.process = subprocess.Popen(
                [*limit, sys.executable, "-m", "tests.fuzz.worker"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        request = json.dumps({"folder": str(folder), "words": words})
        self.process.stdin.write(request.encode() + b"\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            answered = waiting.select(SECONDS_A_CASE)
        line = self.process.stdout.readline() if answered else b""
        if line:
            return json.loads(line)
        code = "hang" if not answered else self.process.wait()
        return {"code": code, "error": self.stop()}

    def stop(self):
        """End the process; return the end of what it wrote to standard error."""
        if self.process is None:
            return ""
        self.process.send_signal(signal.SIGKILL)
        _, error = self.process.communicate()
        self.process = None
        return error[-3000:].decode(errors="replace")


@pytest.fixture
def base(tmp_path, generator):
    """Sound inputs of each kind."""
    base = tmp_path / "base"
    rows = ["path,label,patient,split"]
    for number in range(24):
        name, suffix = (
            ("NORMAL", "PNEUMONIA")[number % 2],
            ("png", "jpeg", "tiff", "bmp")[number % 4],
        )
        relative = f"xrays/{name}/p{number // 3:02d}_{number}.{suffix}"
        path = base / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image(generator)).save(path)
        rows.append(f"{relative},{name},p{number // 3},")
        if number < 8:
            few = base / "few" / name / path.name
            few.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, few)
    (base / "table.csv").write_text("\n".join(rows))
    return base


@pytest.fixture
def worker(base):
    worker = Worker(base / "cache")
    rule = ["--patients", r"(p\d+)_"]
    fit = "fit m.h5 --classifiers svm,xgboost,logistic,knn --out models --jobs 1"
    run = "benchmark xrays --classifiers naive_bayes,logistic --no-controls --no-learning-curve"
    for words in (
        ["extract", "xrays", *EXTRACT[:-1], "m.h5", *rule],
        fit.split(),
        [*run.split(), *EXTRACT[:-2], *rule, "--out", "results", "--jobs", "1"],
    ):
        answer = worker.run(base, words)
        assert answer["code"] == 0, answer["error"]
    yield worker
    worker.stop()


def complaint(kind, answer, folder, expected):
    """Say what is wrong with an answer, if anything."""
    code, error = answer["code"], answer["error"]
    if code not in (0, 1, 2):
        return "crash or hang"
    if "Traceback" in error or "featx: unexpected " in error:
        return "no message"
    if code and "featx: " not in error:
        return "no line that says why"
    if kind == "caches":
        if code:
            return "damage in a cache is no error"
        if not np.array_equal(FeatureMatrix.load(folder / "new.h5").X, expected):
            return "other rows"
    if kind == "models" and code == 0 and "nan" in (folder / "p.csv").read_text():
        return "nan among predictions"
    return ""


# Each case has its own limit.
@pytest.mark.timeout(0)
def test_changed_inputs_give_messages_or_right_answers(base, worker, tmp_path):
    first = int(os.environ.get("FEATX_FUZZ_FIRST") or 0)
    count = int(os.environ.get("FEATX_FUZZ_CASES") or 200)
    expected = FeatureMatrix.load(base / "m.h5").X
    failures = []
    for number in range(first, first + count):
        folder = tmp_path / f"case{number}"
        folder.mkdir()
        kind, words = make_case(number, folder, base, random.Random(number))
        answer = worker.run(folder, words)
        problem = complaint(kind, answer, folder, expected)
        if problem:
            shown = " ".join(word[:80] for word in words)
            failures.append(f"{number} ({kind}): {problem}, {answer['code']}\n{shown}")
            failures[-1] += f"\n{answer['error'][-1500:]}"
        shutil.rmtree(folder, ignore_errors=True)
    report = f"{len(failures)} of {count} cases:\n" + "\n\n".join(failures)
    assert not failures, report.encode(errors="replace").decode()
