"""Benchmark of several findings: one task each on shared images, features and split."""

import json
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.table import BenchmarkTable
from featx.errors import UsageError
from featx.reporting.page import report
from featx.reporting.paper_figures import figures
from tests.benchmarking.conftest import GridEngine, draw

FAST = {"classifiers": ["logistic"], "views": 1, "learning_curve": False, "cv": 3, "n_jobs": 1}


def drawn(n=240, random_state=0):
    """Noise, two images a patient; a finding is a bright square in a place of its own."""
    images = draw(random_state=random_state, n=n, classes=("none",), signal=0)
    generator = np.random.default_rng(random_state + 7)
    pixels, columns = [], {}
    present = np.repeat(generator.random((n // 2, 2)) < (0.4, 0.3), 2, axis=0)
    for place, pair in zip(images.sources, present, strict=True):
        each = place.astype(float)
        for number in np.flatnonzero(pair):
            each[4 + 12 * number : 12 + 12 * number, 8:20] += 12
        pixels.append(np.clip(each, 0, 255).astype(np.uint8))
    for number, name in enumerate(("Pleural Effusion", "Edema")):
        columns[name] = np.where(present[:, number], "1", "0").astype("U2")
    columns["Edema"][:10], columns["Edema"][10:16] = "-1", ""
    columns["Rare"] = np.array(["1", *["0"] * (n - 1)])
    unlabeled = np.full(n, -1)
    return replace(images, sources=tuple(pixels), labels=unlabeled, class_names=(), columns=columns)


@pytest.mark.usefixtures("quick")
def test_each_finding_has_a_benchmark_and_rows_are_averages(tmp_path, caplog, monkeypatch):
    images = drawn()
    out = tmp_path / "out"
    settings = {**FAST, "controls": False, "findings": "all", "out": out, "test_size": 0.3}
    embedded = []
    embed = GridEngine.embed
    monkeypatch.setattr(
        GridEngine, "embed", lambda self, x: embedded.append(len(x)) or embed(self, x)
    )
    external = drawn(100, 1)
    table = benchmark(images, **settings, externals={"other": external})
    assert not featx.verify(out, images, {"other": external}).mismatches
    assert "Rare (with it: 1 of the patients in the table)" in caplog.text
    # Each image once, besides a few that check the cache or are explained.
    assert 0 <= sum(embedded) - len(images) - len(external) < 60
    assert list(table.findings) == ["Pleural Effusion", "Edema"]
    row = table[0]
    parts = [each[0] for each in table.findings.values()]
    assert row.auc == pytest.approx(np.mean([part.auc for part in parts]))
    assert row.estimates["auc"].low < row.auc < row.estimates["auc"].high
    assert row.scores.per_class["Edema"]["auc"] == parts[1].estimates["auc"]
    assert row.externals["other"].metrics["auc"].value > 0.5
    # No patient is in training of one finding and in the test set of the other.
    test, train = set(), set()
    for name in table.findings:
        of_test = table.findings[name].predictions[""][row.name].patients
        test |= {*of_test}
        train |= {
            p for p, c in zip(images.patients, images.columns[name], strict=True) if c in ("0", "1")
        } - {*of_test}
    assert not test & train
    run = json.loads((out / "run.json").read_text())
    counts = {each["name"]: each for each in run["findings"]}
    assert (counts["Edema"]["uncertain"], counts["Edema"]["unknown"]) == (10, 6)
    assert run["findings_left_out"][0]["name"] == "Rare"
    assert json.loads((out / "results.json").read_text())[0]["per_class"]["Edema"]["auc"]
    page = (out / "report.html").read_text()
    assert 'href="findings/pleural-effusion/report.html"' in page
    own = (out / "findings/edema/report.html").read_text()
    assert "Edema present" in own and "with Edema uncertain" in own
    # The same command again computes nothing; others are refused.
    monkeypatch.setattr("featx.classifiers.fitting.fit_rows", None)
    embedded.clear()
    again = benchmark(images, **settings, externals={"other": external})
    assert list(again) == list(table) and max(embedded) == 1
    loaded = BenchmarkTable.load(out)
    assert list(loaded) == list(table) and list(loaded.findings["Edema"]) == list(
        again.findings["Edema"]
    )
    (out / "findings/edema/report.html").unlink()
    report(out)
    assert (out / "findings/edema/report.html").exists()
    with pytest.raises(UsageError, match="findings/pleural-effusion"):
        figures(out)
    with pytest.raises(UsageError, match="findings"):
        benchmark(images, **settings | {"findings": ["Edema"]})


@pytest.mark.usefixtures("quick")
def test_findings_are_decided_by_patient(tmp_path):
    images = drawn(160)
    settings = {**FAST, "controls": False, "findings": "all", "test_size": 0.4, "unit": "patient"}
    table = benchmark(images, **settings, out=tmp_path)
    row, by_patient = table
    assert (by_patient.kind, by_patient.unit.name) == ("unit", "patient")
    parts = [each[1] for each in table.findings.values()]
    assert by_patient.auc == pytest.approx(np.mean([part.auc for part in parts]))
    assert by_patient.scores.n == by_patient.scores.n_patients < row.scores.n
    # A finding that only one of a patient's images has.
    columns = {**images.columns, "Edema": images.columns["Edema"].copy()}
    columns["Edema"][:40] = ["1", "0"] * 20
    with pytest.raises(UsageError, match="have different labels, Edema present"):
        benchmark(replace(images, columns=columns), **settings)
