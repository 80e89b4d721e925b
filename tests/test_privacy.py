"""Nothing that identifies a patient in DICOM headers reaches a file or a message of featx."""

import io
import zipfile

import h5py
import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from featx.backbones import feature_maps
from featx.benchmarking.benchmark import benchmark
from featx.classifiers.fitting import fit
from featx.classifiers.model_file import save_model
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError
from featx.features.extraction import extract
from tests.features.worker import QuickMaps
from tests.images.dicom_files import make_dicom

SECRETS = {
    "PatientName": "Zephyrine^Quastenflosser",
    "PatientID": "MRN-4711-{}",
    "PatientBirthDate": "19081217",
    "StudyDate": "19690720",
    "AccessionNumber": "ACC0815XYZ",
    "StudyInstanceUID": "1.2.826.0.1.3680043.99887766.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.99887766.2",
    "InstitutionName": "Spital am Zwetschgenweg",
    "ReferringPhysicianName": "Knochenhauer^Ilse",
    "StudyDescription": "THORAX-GEHEIM",
}
PLANTED = [
    *(text.removesuffix("{}").split("^")[0] for text in SECRETS.values()),
    "Quastenflosser",
    "Ilse",
    "TRACE-IN-A-NUMBER",
    "99887766",
    "private-note-zzz",
]


@pytest.fixture
def series(tmp_path, generator):
    """Twelve patients in two classes; and files that are broken where names could leak."""
    root = tmp_path / "series"
    for number in range(12):
        label = ("ill", "well")[number % 2]
        (root / label).mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 2000 + 2000 * (number % 2), (24, 20), dtype=np.uint16)
        (root / label / f"IM{number:03d}").write_bytes(dicom_of(number, pixels))
    sound = dicom_of(1, pixels)
    broken = {
        "cut": sound[: len(sound) // 2],
        "number": add_padding(sound, "TRACE-IN-A-NUMBER"),
        "frames": dicom_of(3, pixels, NumberOfFrames=2, PixelData=pixels.tobytes() * 2),
        "syntax": sound.replace(b"1.2.840.10008.1.2.1\0", b"1.2.826.99887766.77\0"),
        "size": dicom_of(5, pixels, Rows=60000, Columns=60000),
    }
    for name, content in broken.items():
        (root / "ill" / f"{name}.dcm").write_bytes(content)
    return root, set(broken)


def dicom_of(number, pixels, **elements):
    texts = {keyword: text.format(number) for keyword, text in SECRETS.items()}
    window = {"WindowCenter": 500, "WindowWidth": 900}
    content = make_dicom(pixels, BitsStored=12, **window, **texts, **elements)
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.private_block(0x0011, "private-note-zzz", create=True).add_new(1, "LO", "99887766")
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def add_padding(content, text):
    """Write letters where a number belongs, which parsers like to quote."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.add_new(0x00280120, "LO", text)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=True, little_endian=True)
    return buffer.getvalue()


def contents(path):
    """Everything that a file says, unpacked as well."""
    content = path.read_bytes()
    yield content
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    if content.startswith(b"\x89HDF"):
        said = []

        def note(name, item):
            value = item[()] if isinstance(item, h5py.Dataset) else None
            said.append(repr((name, dict(item.attrs), value)))

        with h5py.File(path) as file:
            note("", file)
            file.visititems(note)
        yield "\n".join(said).encode()


def test_nothing_of_a_header_is_written_or_said(series, tmp_path, monkeypatch, capfd, quick):
    root, broken = series
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("FEATX_CACHE", str(tmp_path / "out" / "cache"))
    monkeypatch.setattr(
        feature_maps, "make_maps", lambda backbone, *_: QuickMaps(backbone.features)
    )
    out = tmp_path / "out"
    images = ImageDataset.open(root, "dicom")
    # The cut file has its patient in what is left of it.
    assert len(set(images.patients)) == 12
    matrix = extract(images, views=2, out=out / "matrix.h5")
    assert {name.split("/")[1].removesuffix(".dcm") for name, _ in matrix.unreadable} == broken
    save_model(fit(matrix, "logistic", cv=2), out / "model.skops")
    settings = {"views": 2, "folds": 2, "learning_curve": False}
    benchmark(images, classifiers=["logistic"], **settings, out=out / "benchmark")
    said = [*capfd.readouterr(), repr(images), repr(matrix)]
    for action in (lambda: extract(images, strict=True), lambda: ImageDataset.open(root, "(x)y")):
        with pytest.raises(FeatxError) as stop:
            action()
        said.append(repr(stop.value) + repr(stop.value.__cause__) + repr(stop.value.__context__))
    texts = ["\n".join(said).encode()]
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".h5", ".skops", ".json", ".csv", ".md"}
    for path in files:
        texts.extend(contents(path))
    for secret in PLANTED:
        for text in texts:
            assert secret.encode() not in text
            assert secret.encode("utf-16-le") not in text


def test_the_search_finds_what_is_there(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("d", data=[b"ACC0815XYZ" * 10], compression="gzip")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m", "ACC0815XYZ" * 10)
    for path in tmp_path.iterdir():
        assert any(b"ACC0815XYZ" in content for content in contents(path))
