import numpy as np
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
    histogram = control_matrix(images, "histogram")
    np.testing.assert_allclose(histogram.X.sum(axis=1), 1, rtol=1e-5)


def test_dicom_files_have_metadata_too(tmp_path, generator):
    for number in range(2):
        content = make_dicom(generator.integers(0, 4096, (20, 30), dtype=np.uint16))
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "film.dcm").write_bytes(content)
    metadata = control_matrix(ImageDataset.open(tmp_path), "metadata")
    assert metadata.X[:, :2].tolist() == [[20, 30], [20, 30]]
    assert (metadata.X[:, -1] == 1).all()


def test_no_shortcut_no_alarm():
    def row(kind, auc):
        scores = Scores({"auc": Interval(auc, auc, auc)}, 10)
        return BenchmarkRow(kind, kind, "logistic", kind, scores)

    assert shortcut_notes([row("frozen", 0.95), row("control", 0.80)]) == []
    (note,) = shortcut_notes([row("frozen", 0.95), row("control", 0.90)])
    assert note.values == {"model": "control", "auc": 0.90, "best": 0.95}


def test_too_few_patients_for_intervals_are_named():
    def row(fewest, **externals):
        return BenchmarkRow(
            "a", "a", "svm", "frozen", Scores({}, 9, fewest_patients=fewest), externals
        )

    adults = Scores({}, 9, fewest_patients=6.04)
    (note,) = few_patients_notes([row(12.0, adults=adults), row(11.0), row(None)])
    assert note.values == {"set": "adults", "patients": 6.04, "needed": 10}
    assert "the rarest class of adults has an effective number of 6.0" in note.text
