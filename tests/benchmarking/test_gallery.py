import json

import numpy as np
import pytest
from PIL import Image

from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.gallery import pick_pictures, save_gallery
from featx.classifiers.predictions import Predictions
from featx.datasets.dataset import ImageDataset
from featx.metrics.scores import Scores
from featx.reporting.page import report
from featx.reporting.records import BenchmarkRow
from tests.benchmarking.conftest import draw


def predict(images, positive):
    probabilities = np.stack([1 - np.asarray(positive), positive], axis=1)
    return Predictions(
        images.names, images.class_names, probabilities, images.labels, images.patients
    )


@pytest.fixture
def six():
    pixels = np.full((6, 400, 300), 100, np.uint8)
    pixels[3] = 200
    return ImageDataset.from_arrays(
        pixels, list("nnnppp"), class_names=("n", "p"), patients=["a", "a", "b", "c", "d", "e"]
    )


def test_the_most_confident_come_first_and_a_patient_once(six):
    predictions = predict(six, [0.7, 0.9, 0.1, 0.2, 0.95, 0.6])
    assert pick_pictures(predictions, 0.5) == [
        (1, 1, "miss"),
        (3, 0, "miss"),
        (2, 0, "hit"),
        (4, 1, "hit"),
        (5, 1, "hit"),
    ]
    predictions = predict(six, [0.1, 0.1, 0.1, 0.3, 0.3, 0.3])
    assert {kind for _, _, kind in pick_pictures(predictions, 0.2)} == {"hit"}
    assert {kind for index, _, kind in pick_pictures(predictions, None) if index > 2} == {"miss"}


def test_thumbnails_are_small_gray_and_replace_older_ones(six, tmp_path):
    stale = tmp_path / "gallery" / "77-miss.heat.jpg"
    stale.parent.mkdir()
    stale.write_bytes(b"old")
    predictions = predict(six, [0.1, 0.1, 0.1, 0.2, 0.9, 0.9])
    save_gallery(
        tmp_path,
        BenchmarkRow("m", "m", "svm", "frozen", Scores({}, 6, threshold=0.5)),
        predictions,
        six,
    )
    assert not stale.exists()
    content = json.loads((tmp_path / "gallery" / "gallery.json").read_text())
    assert content["row"] == "m"
    first = content["pictures"][0]
    assert (first["kind"], first["truth"], first["called"]) == ("miss", "p", "n")
    assert first["probability"] == pytest.approx(0.8)
    assert first["path"] == six.names[3]
    with Image.open(tmp_path / "gallery" / first["file"]) as thumbnail:
        assert thumbnail.mode == "L" and max(thumbnail.size) == 160 and not thumbnail.getexif()
        assert abs(float(np.asarray(thumbnail).mean()) - 200) < 2


@pytest.mark.usefixtures("quick")
def test_a_benchmark_ends_with_its_page_gallery_and_model_cards(tmp_path):
    settings = {"views": 1, "test_size": 0.3, "folds": 3, "learning_curve": False}
    settings |= {"classifiers": ["logistic", "naive_bayes"], "out": tmp_path}
    settings |= {"externals": {"elsewhere": draw(random_state=9, signal=0)}}
    table = benchmark(draw(signal=50), **settings)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="gallery"' in page and 'class="panel"' in page
    content = json.loads((tmp_path / "gallery" / "gallery.json").read_bytes())
    best = max(table[:2], key=lambda row: row.auc_out_of_fold)
    assert content["row"] == best.name
    (tmp_path / "report.html").unlink()
    report(tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    models = tmp_path / "models"
    assert {path.stem for path in models.glob("*.md")} == {
        path.stem for path in models.glob("*.skops")
    }
    card = (models / "efficientnet_lite0-logistic.md").read_text(encoding="utf-8")
    for scores in (table[0].scores, table[0].externals["elsewhere"]):
        auc = scores.metrics["auc"]
        assert f"{auc.value:.3f} ({auc.low:.3f}\u2013{auc.high:.3f})" in card
    assert "| | Out of fold | Test | elsewhere |" in card
    # Bright squares show in the histogram, too: the control gets as far as the model.
    assert "SHORTCUT: histogram alone" in card
    assert "without test images" not in card
    assert "s0p0" not in card and "s9p0" not in card
    before = {path: path.read_bytes() for path in models.iterdir()}
    benchmark(draw(signal=50), **settings)
    assert before == {path: path.read_bytes() for path in models.iterdir()}
