from __future__ import annotations

import pytest

from featx.benchmarking.benchmark import benchmark
from tests.benchmarking.conftest import draw


@pytest.mark.usefixtures("quick")
def test_a_benchmark_writes_a_card_for_each_model(tmp_path):
    fast = {"views": 1, "test_size": 0.3, "folds": 3, "learning_curve": False}
    other = draw(random_state=9, signal=0)
    names = {"classifiers": ["logistic", "naive_bayes"], "externals": {"elsewhere": other}}
    table = benchmark(draw(), **names, **fast, out=tmp_path)
    models = tmp_path / "models"
    assert {path.stem for path in models.glob("*.md")} == {
        path.stem for path in models.glob("*.skops")
    }
    card = (models / "efficientnet_lite0-logistic.md").read_text(encoding="utf-8")
    row = table[0]
    for scores in (row.scores, row.externals["elsewhere"]):
        auc = scores.estimates["auc"]
        assert f"{auc.value:.3f} ({auc.low:.3f}\u2013{auc.high:.3f})" in card
    assert "| | Out of fold | Test | elsewhere |" in card
    # Bright squares show in the histogram, too: the control gets as far as the model.
    assert "SHORTCUT: histogram alone" in card
    assert "without test images" not in card
    assert "s0p0" not in card and "s9p0" not in card
    before = {path: path.read_bytes() for path in models.iterdir()}
    benchmark(draw(), **names, **fast, out=tmp_path)
    assert before == {path: path.read_bytes() for path in models.iterdir()}
