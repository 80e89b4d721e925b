"""Tables of public data sets of chest X-rays, recognized by their headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Irvin et al. 2019, doi 10.1609/aaai.v33i01.3301590; MIMIC-CXR-JPG has the same.
_CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)

_READERS = "an image has the findings of all its rows and readers"
_MIMIC_JOIN = (
    "MIMIC-CXR has its images in one table and its findings in another; join both, by the line "
    "`import pandas; read = pandas.read_csv; read('mimic-cxr-2.0.0-split.csv.gz').merge(read("
    "'mimic-cxr-2.0.0-chexpert.csv.gz'), on=['subject_id', 'study_id']).to_csv('joined.csv', "
    "index=False)` in Python, and give joined.csv"
)


@dataclass(frozen=True)
class Convention:
    """Columns of a public data set's table.

    `findings` are columns of 0 and 1 each; `lists` says that a label may name several findings,
    in one row or in several rows of the same image; `patient_rule` is searched in paths.
    """

    name: str
    needs: frozenset[str]
    columns: Mapping[str, str]
    findings: tuple[str, ...] = ()
    lists: bool = False
    patient_rule: str | None = None
    # Finding columns are blank where a report does not mention the finding.
    blank_is_negative: bool = False
    remark: str = ""
    labels_elsewhere: str = field(default="", compare=False)
    images_elsewhere: str = field(default="", compare=False)


CONVENTIONS = (
    Convention(
        "NIH ChestX-ray14",
        frozenset(("Image Index", "Finding Labels")),
        {"path": "Image Index", "label": "Finding Labels", "patient": "Patient ID"},
        lists=True,
    ),
    Convention(
        "CheXpert",
        frozenset(("Path", "No Finding", "Pleural Effusion")),
        {"path": "Path"},
        findings=_CHEXPERT,
        patient_rule=r"(patient\d+)",
        blank_is_negative=True,
        remark="a blank finding, which the report does not mention, counts as negative",
    ),
    Convention(
        "MIMIC-CXR",
        frozenset(("dicom_id", "subject_id")),
        {"path": "dicom_id", "patient": "subject_id", "split": "split"},
        findings=_CHEXPERT,
        blank_is_negative=True,
        remark="a blank finding, which the report does not mention, counts as negative",
        labels_elsewhere=_MIMIC_JOIN,
    ),
    Convention(
        "MIMIC-CXR findings",
        frozenset(("subject_id", "study_id", "No Finding")),
        {},
        images_elsewhere=_MIMIC_JOIN,
    ),
    Convention(
        "PadChest",
        frozenset(("ImageID", "Labels", "PatientID")),
        {"path": "ImageID", "label": "Labels", "patient": "PatientID"},
        lists=True,
    ),
    Convention(
        "RSNA pneumonia",
        frozenset(("patientId", "Target")),
        {"path": "patientId", "label": "Target", "patient": "patientId"},
        remark="several rows are the boxes of one image",
    ),
    Convention(
        "VinDr-CXR",
        frozenset(("image_id", "class_name")),
        {"path": "image_id", "label": "class_name"},
        lists=True,
        remark=_READERS,
    ),
    Convention(
        "VinDr-CXR, findings by image",
        frozenset(("image_id", "No finding", "Pleural effusion")),
        {"path": "image_id"},
        lists=True,
        remark=_READERS,
    ),
)


def recognize(header: Iterable[str]) -> Convention | None:
    """Return the convention that a header follows.

    Examples
    --------
    >>> recognize(["Image Index", "Finding Labels", "Patient ID"]).name
    'NIH ChestX-ray14'
    """
    names = set(header)
    return next((each for each in CONVENTIONS if each.needs <= names), None)
