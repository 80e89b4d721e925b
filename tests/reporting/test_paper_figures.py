import csv

import numpy as np
import pytest
from sklearn.metrics import auc

import featx
from featx.benchmarking.table import BenchmarkTable
from featx.errors import UsageError
from featx.reporting.results_folder import read_results
from tests.reporting.conftest import Folder

pytest.importorskip("matplotlib")

POINTS = [
    {"degradation": name, "grade": grade, "auc": 0.95 - grade / 20, "auc_low": 0.8 - grade / 20,
     "auc_high": 0.97, "accuracy": 0.9, "sensitivity": 0.9, "specificity": 0.9, "n": 120}
    for name, grade in [("none", 0), *((n, g) for n in ("blur", "noise") for g in range(1, 6))]
]  # fmt: skip
CURVE = [
    {"name": "resnet50-svm", "n_patients": n, "n_images": 2 * n, "auc": a, "auc_low": a - 0.1,
     "auc_high": a + 0.05}
    for n, a in ((50, 0.8), (100, 0.85), (200, 0.9))
]  # fmt: skip


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = Folder(tmp_path_factory.mktemp("results"))
    made.add("resnet50", "svm", externals=["adults"], auc_out_of_fold=0.9, robustness=POINTS)
    made.add("vgg16", "svm", skill=0.8, auc_out_of_fold=0.8)
    made.add("metadata", "logistic", kind="control", skill=0.2)
    return made.write(learning_curve=CURVE)


def test_every_figure_has_its_numbers_beside_it(folder, tmp_path):
    files = featx.figures(folder, tmp_path, ["pdf", "svg", "png"])
    names = {"roc", "precision-recall", "calibration", "decision-curves", "risk-coverage"}
    names |= {f"{name}-adults" for name in names} | {"confusion", "learning-curve", "robustness"}
    assert {path.name for path in files} == {
        f"{name}.{kind}" for name in names for kind in ("csv", "pdf", "svg", "png")
    }
    starts = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}
    for kind, start in starts.items():
        assert (tmp_path / f"roc.{kind}").read_bytes().startswith(start)
    assert "resnet50, svm (AUC" in (tmp_path / "roc.svg").read_text()
    results = read_results(folder)
    row = results.rows[0]
    lines = [line for line in read(tmp_path / "roc.csv") if line["model"] == row.label]
    curve = [line for line in lines if line["part"] == "curve"]
    x, y = ([float(line[n]) for line in curve] for n in ("1 - specificity", "sensitivity"))
    assert auc(x, y) == pytest.approx(row.auc)
    (point,) = (line for line in lines if line["part"] == "operating point")
    assert float(point["sensitivity"]) == row.estimates["sensitivity"].value
    # The best frozen model and the control, not the other one.
    assert {line["model"] for line in read(tmp_path / "roc.csv")} == {
        "resnet50, svm", "metadata, logistic (control)"
    }  # fmt: skip
    risk = [line for line in read(tmp_path / "risk-coverage.csv") if line["model"] == row.label]
    whole = float(risk[-1]["proportion of errors"])
    assert whole == pytest.approx(1 - row.estimates["accuracy"].value)
    matrix = read(tmp_path / "confusion.csv")[:2]
    counts = [[int(line[f"predicted {name}"]) for name in results.class_names] for line in matrix]
    assert counts == row.scores.confusion.tolist()
    assert len(read(tmp_path / "robustness.csv")) == len(POINTS)
    assert [float(line["auc"]) for line in read(tmp_path / "learning-curve.csv")] == [
        0.8, 0.85, 0.9
    ]  # fmt: skip


def test_the_same_numbers_give_the_same_bytes(folder, tmp_path):
    first, second = (
        {path.name: path.read_bytes() for path in featx.figures(folder, out, ("svg", "pdf"))}
        for out in (tmp_path / "a", tmp_path / "b")
    )
    assert first == second


def test_three_classes_have_a_curve_each(tmp_path):
    made = Folder(tmp_path / "r", ("BACTERIA", "NORMAL", "VIRUS"))
    made.add("resnet50", "svm")
    files = featx.figures(made.write(), formats="svg")
    assert files[0].parent == tmp_path / "r" / "figures"
    names = {path.stem for path in files}
    assert {"roc-BACTERIA", "roc-NORMAL", "roc-VIRUS", "confusion"} <= names


def test_a_table_draws_its_curves_on_given_axes(folder):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    table = BenchmarkTable.load(folder)
    assert table.plot_roc(ax) is ax
    # Chance, three models, and their operating points.
    assert len(ax.lines) == 7
    with pytest.raises(UsageError, match="no predictions to draw"):
        BenchmarkTable(table.rows).plot_roc(ax)


def test_an_unknown_format_and_an_empty_folder_are_usage_errors(folder, tmp_path, run_featx):
    with pytest.raises(UsageError, match="format"):
        featx.figures(folder, tmp_path, "tiff")
    code, text, _ = run_featx("figures", folder, "--out", tmp_path / "f", "--format", "svg")
    assert code == 0
    assert f"13 figures written to {tmp_path / 'f'}" in text
    code, _, error = run_featx("figures", tmp_path / "f")
    assert code == 2 and "featx benchmark --out" in error


def test_risk_is_that_of_the_least_doubtful(generator):
    from featx.metrics.decision import risk_coverage

    probabilities = generator.random(200)
    labels = generator.random(200) < probabilities
    coverage, risk = risk_coverage(labels, probabilities, 0.3)
    log_odds = np.log(probabilities / (1 - probabilities)) - np.log(0.3 / 0.7)
    for share in (0.25, 0.5, 1.0):
        kept = np.argsort(-np.abs(log_odds))[: round(200 * share)]
        wrong = (probabilities[kept] >= 0.3) != labels[kept]
        assert risk[np.flatnonzero(np.isclose(coverage, share))[0]] == pytest.approx(wrong.mean())
