import numpy as np
import pytest
from PIL import Image

from featx.benchmarking.controls import control_matrix
from featx.benchmarking.note_rules import few_patients_notes, shortcut_notes
from featx.datasets.dataset import ImageDataset
from featx.metrics.intervals import Interval
from featx.metrics.scores import Scores
from featx.reporting.records import BenchmarkRow
from tests.images.dicom_files import make_dicom


def test_metadata_know_sizes_and_the_histogram_does_not(tmp_path, generator):
    for number, (label, side) in enumerate([("well", 32), ("ill", 48)] * 10):
        pixels = generator.integers(0, 256, (side, side), dtype=np.uint8)
        (tmp_path / label).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / label / f"p{number:02d}.png")
    images = ImageDataset.open(tmp_path)
    (tmp_path / "ill" / "p01.png").write_bytes(b"")
    metadata = control_matrix(images, "metadata")
    assert metadata.n_images == 19
    assert set(metadata.X[metadata.labels == 0, 0]) == {48.0}
    assert set(metadata.X[metadata.labels == 1, 0]) == {32.0}
    known = {}
    control_matrix(images[1:], "histogram", known)
    histogram = control_matrix(images, "histogram", known)
    assert len(known) == len(images)
    np.testing.assert_allclose(histogram.X.sum(axis=1), 1, rtol=1e-5)


def test_dicom_files_have_metadata_too(tmp_path, generator):
    for number in range(2):
        content = make_dicom(generator.integers(0, 4096, (20, 30), dtype=np.uint16))
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "film.dcm").write_bytes(content)
    metadata = control_matrix(ImageDataset.open(tmp_path), "metadata")
    assert metadata.X[:, :2].tolist() == [[20, 30], [20, 30]]
    assert (metadata.X[:, -1] == 1).all()


@pytest.mark.parametrize(
    ("best", "control", "low", "said"),
    [
        (0.95, 0.80, 0.70, None),
        (0.95, 0.90, 0.85, "89 % of its distance from 0.5"),
        (0.95, 0.97, 0.90, "no model ranks better"),
        (0.45, 0.60, 0.52, "no model ranks better"),
        # Controls that may be no better than chance, whatever the models are.
        (0.52, 0.517, 0.40, None),
        (0.45, 0.47, 0.38, None),
        (0.40, 0.45, float("nan"), None),
    ],
)
def test_a_shortcut_is_better_than_chance_and_near_the_best_model(best, control, low, said):
    def row(kind, auc, low):
        scores = Scores({"auc": Interval(auc, low, 1.0)}, 10)
        return BenchmarkRow(kind, "random weights", "logistic", kind, scores)

    notes = shortcut_notes([row("frozen", best, best), row("control", control, low)])
    assert [note.values for note in notes] == (
        [{"model": "random weights", "auc": control, "best": best}] if said else []
    )
    for note in notes:
        assert said in note.text
        assert "sees the lungs" in note.text


def test_too_few_patients_for_intervals_are_named():
    def row(fewest, **externals):
        return BenchmarkRow(
            "a", "a", "svm", "frozen", Scores({}, 9, 9, fewest_patients=fewest), externals
        )

    adults = Scores({}, 9, 9, fewest_patients=6.04)
    (note,) = few_patients_notes([row(12.0, adults=adults), row(11.0), row(None)])
    assert note.values == {"set": "adults", "patients": 6.04, "needed": 10}
    assert "the rarest class of adults has an effective number of 6.0" in note.text
    nameless = Scores({}, 9, fewest_patients=6.0)
    (note,) = few_patients_notes([row(12.0, adults=nameless)])
    assert note.text.startswith("Few images: adults has 6 of its rarest class.")
