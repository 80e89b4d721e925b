"""Where patients are unknown, nothing that featx writes or prints makes a claim on patients."""

from __future__ import annotations

import html
import json
import re
from importlib import resources

import numpy as np
import pytest

import featx
from featx.benchmarking.benchmark import benchmark
from featx.datasets.dataset import ImageDataset
from tests.benchmarking.conftest import draw

ALLOWED = (
    r"patients:? (are )?unknown",
    r"on the care of a patient",  # what the model is not for
    r"<dt>patients</dt>\s*<dd>null</dd>",  # settings
    r"<dt>external_patients</dt>\s*<dd>\{\}</dd>",
    r"images of one patient may be on both sides of a split, which inflates every score\. Give "
    r"--patients, or a table with a column `patient`",
    r"clustered by patient where patients are known",
)


def nameless(images, **sources):
    """The same images without patients."""
    pixels = list(images.sources)
    for place, source in sources.items():
        pixels[int(place[1:])] = pixels[source]
    return ImageDataset.from_arrays(
        pixels, images.labels, class_names=images.class_names, splits=images.splits
    )


def claims(text):
    """Return the surroundings of every mention of patients that is not allowed."""
    text = " ".join(html.unescape(text).split())
    for allowed in ALLOWED:
        text = re.sub(allowed, "", text, flags=re.IGNORECASE)
    return re.findall(r".{0,60}patient.{0,60}", text, re.IGNORECASE)


def numbers(content, path=""):
    """Yield every value in JSON whose name speaks of patients, and not also of images."""
    if isinstance(content, dict):
        for name, value in content.items():
            if "patient" in name and name not in ("external_patients", "fewest_patients"):
                yield path + name, value
            yield from numbers(value, f"{path}{name}.")
    elif isinstance(content, list):
        for value in content:
            yield from numbers(value, path)


@pytest.fixture
def run(tmp_path, quick):
    """A run with duplicates left out, an external set, controls, repeats and a learning curve."""
    images = draw(splits=np.repeat(["train", "test"], [80, 40]), signal=30)
    settings = {"classifiers": ["logistic"], "views": 1, "cv": 3, "repeats": 2, "leaks": "drop"}
    out = tmp_path / "out"
    table = benchmark(
        nameless(images, _100=3, _7=6),
        **settings,
        externals={"x": nameless(draw(1, 20))},
        adapt=True,
        out=out,
    )
    return out, table


def page_text(page):
    """A page without what the checklists ask, which are questions."""
    file = resources.files("featx.reporting").joinpath("templates").joinpath("checklists.json")
    for checklist in json.loads(file.read_text(encoding="utf-8")):
        for item in checklist["items"]:
            page = page.replace(f"<td>{html.escape(item['asks'])}</td>", "<td></td>")
    return re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)


def test_a_run_makes_no_claim_on_patients(run, run_featx):
    out, table = run
    page = (out / "report.html").read_text()
    assert "patients unknown" in page and "by image (patients are unknown)" in page
    assert claims(page_text(page)) == []
    for path in (out / "table.md", *out.glob("models/*.md")):
        assert claims(path.read_text()) == [], path
    assert claims(table._repr_html_()) == []
    for path in out.glob("scores/*.csv"):
        assert path.read_text().partition("\n")[0].startswith("path,label,probability_")
    for name in ("run.json", "results.json"):
        found = list(numbers(json.loads((out / name).read_text())))
        assert found and not [each for each in found if each[1]]
    for words in (("report", out), ("compare", out, out)):
        code, text, error = run_featx(*words)
        assert code == 0 and claims(text + error) == []


def test_a_fit_and_an_exploration_make_none(image_folder, tmp_path, run_featx, quick):
    matrix, models = tmp_path / "m.h5", tmp_path / "models"
    for words in (
        ("extract", image_folder, "--views", 1, "--out", matrix),
        ("fit", matrix, "--classifiers", "logistic", "--out", models),
        ("evaluate", models / "logistic.skops", image_folder),
        ("explore", matrix, "--out", tmp_path / "e.html"),
    ):
        code, text, error = run_featx(*words)
        assert code == 0 and claims(text + error) == [], words
    code, text, error = run_featx("evaluate", models / "logistic.skops", image_folder, "--json")
    assert {value for _, value in numbers(json.loads(text))} == {None}
    assert claims((models / "logistic.md").read_text()) == []
    assert claims(page_text((tmp_path / "e.html").read_text())) == []
    assert "unknown" in featx.FeatureMatrix.load(matrix)._repr_html_()


def test_the_search_finds_claims(tmp_path, quick):
    table = benchmark(
        draw(n=60), classifiers="naive_bayes", views=1, cv=2, controls=False, out=tmp_path / "out"
    )
    assert claims(table.to_markdown())
    assert len(claims(page_text((tmp_path / "out" / "report.html").read_text()))) > 5
