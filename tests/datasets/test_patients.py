import stat

import numpy as np
import pytest

from featx.datasets.dataset import ImageDataset
from featx.datasets.patients import hash_patient, local_secret
from featx.errors import FeatxError, UsageError
from tests.images.dicom_files import make_dicom

KEY = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))


@pytest.fixture
def series(tmp_path, generator):
    """Two classes x three patients x two images, named as a scanner does."""
    root = tmp_path / "series"
    for label, first in (("ill", 0), ("well", 3)):
        (root / label).mkdir(parents=True)
        for patient in range(first, first + 3):
            for number in range(2):
                pixels = generator.integers(0, 4096, (20, 24), dtype=np.uint16)
                content = make_dicom(pixels, BitsStored=12, PatientID=f"MRN-{patient}")
                (root / label / f"1.2.840.{patient}.{number}").write_bytes(content)
    return root


def test_dicom_files_are_found_without_a_suffix(series):
    (series / "ill" / "DICOMDIR").write_bytes((series / "ill" / "1.2.840.0.0").read_bytes())
    (series / "ill" / "IM0001").write_bytes((series / "ill" / "1.2.840.0.0").read_bytes())
    (series / "ill" / "README").write_text("no image, and no suffix either " * 20)
    (series / "ill" / "notes.2").write_bytes(b"")
    images = ImageDataset.open(series, "dicom")
    assert len(images) == 13
    assert "ill/IM0001" in images.names
    assert images.read(0).shape == (20, 24)


def test_patients_from_headers_are_keyed_hashes(series):
    images = ImageDataset.open(series, "dicom", hash_patients=KEY)
    assert images.patients_known
    expected = [hash_patient(f"MRN-{name.split('.')[3]}", KEY) for name in images.names]
    assert images.patients.tolist() == expected
    assert len(set(expected)) == 6
    # A damaged file is a patient of its own.
    (series / "ill" / "empty.dcm").touch()
    damaged = ImageDataset.open(series, "dicom", hash_patients=KEY)
    assert len(set(damaged.patients)) == 7


def test_without_a_secret_hashes_stay_the_same_on_this_machine_and_differ_on_another(
    series, tmp_path, monkeypatch
):
    first = ImageDataset.open(series, "dicom").patients.tolist()
    assert ImageDataset.open(series, "dicom").patients.tolist() == first
    path = tmp_path / "settings" / "featx" / "patient-secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["patient-secret"]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    assert not set(ImageDataset.open(series, "dicom").patients) & set(first)


def test_a_secret_that_cannot_be_stored_or_is_empty_is_reported(tmp_path, monkeypatch):
    path = tmp_path / "settings" / "featx" / "patient-secret"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(FeatxError, match="is empty; delete it"):
        local_secret()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path))
    with pytest.raises(FeatxError, match="give one with --hash-patients"):
        local_secret()


def test_images_without_a_patient_are_reported(series, image_folder):
    (series / "ill" / "none").write_bytes(make_dicom(np.zeros((4, 4), np.uint8)))
    with pytest.raises(UsageError, match=r"1 of 13 images have no DICOM header .* 'ill/none' for"):
        ImageDataset.open(series, "dicom")
    with pytest.raises(UsageError, match="24 of 24 images have no DICOM header"):
        ImageDataset.open(image_folder, "dicom")


def test_other_patients_are_hashed_on_request(image_folder):
    plain = ImageDataset.open(image_folder, r"(p\d+)_").patients.tolist()
    hashed, again, other = (
        ImageDataset.open(image_folder, r"(p\d+)_", hash_patients=key).patients.tolist()
        for key in (KEY, KEY, KEY[::-1])
    )
    assert hashed == again == [hash_patient(patient, KEY) for patient in plain]
    assert not set(hashed) & {*plain, *other}
    assert len(set(zip(plain, hashed, strict=True))) == len(set(hashed)) == 12
