"""Tables with the headers of public data sets, few rows, and drawn images."""

import gzip

import pytest

from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
    "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
    "Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def chexpert(patient, effusion):
    path = f"CheXpert-v1.0-small/train/patient{patient:05}/study1/view1_frontal.jpg"
    return f"{path},Female,68,Frontal,AP,,,,,,,,,,,{effusion},,,1.0"


def nih(name, findings, patient):
    return f"{name},{findings},0,{patient},58,M,PA,2682,2749,0.143,0.143,"


# Rows, files, rules, and the labels and patients to be found.
TABLES = {
    "NIH ChestX-ray14": (
        [
            NIH,
            nih("1.png", "Effusion|Mass", 1),
            nih("2.png", "Mass|Effusion", 2),
            nih("3.png", "No Finding", 2),
            nih("4.png", "Mass", 3),
        ],
        [f"images_00{folder}/images/{n}.png" for folder, n in ((1, 1), (1, 2), (2, 3), (2, 4))],
        {"positive": "Effusion"},
        ["Effusion present", "Effusion present", "Effusion absent", "Effusion absent"],
        ["1", "2", "2", "3"],
    ),
    "CheXpert": (
        [CHEXPERT, *(chexpert(i, value) for i, value in enumerate(["1.0", "", "0.0", "-1.0"]))],
        [f"train/patient{i:05}/study1/view1_frontal.jpg" for i in range(4)],
        {"positive": "Pleural Effusion", "uncertain": "negative"},
        ["Pleural Effusion present", *["Pleural Effusion absent"] * 3],
        [f"patient{i:05}" for i in range(4)],
    ),
    "MIMIC-CXR": (
        [
            "dicom_id,study_id,subject_id,split,Edema,Pneumonia",
            "ab-1,5,10000032,train,1.0,",
            "ab-2,5,10000032,train,,",
            "ab-3,6,10000764,validate,1.0,-1.0",
            "ab-4,7,11,train,,1.0",
        ],
        [
            f"files/p1/{study}/ab-{n}.jpg"
            for study, n in (("s5", 1), ("s5", 2), ("s6", 3), ("s7", 4))
        ],
        {"positive": "Pneumonia", "uncertain": "positive"},
        ["Pneumonia absent", "Pneumonia absent", "Pneumonia present", "Pneumonia present"],
        ["10000032", "10000032", "10000764", "11"],
    ),
    "PadChest": (
        [
            ",ImageID,ImageDir,StudyID,PatientID,Projection,Labels",
            "0,a.png,0,9,pA,PA,['normal']",
            "1,b.png,0,8,pB,PA,\"['cardiomegaly', ' pleural effusion']\"",
            "2,c.png,1,7,pC,L,\"['pleural effusion']\"",
        ],
        ["0/a.png", "0/b.png", "1/c.png"],
        {"positive": "pleural effusion"},
        ["pleural effusion absent", "pleural effusion present", "pleural effusion present"],
        ["pA", "pB", "pC"],
    ),
    "RSNA pneumonia": (
        [
            "patientId,x,y,width,height,Target",
            "u1,,,,,0",
            "u2,264,152,213,379,1",
            "u2,562,152,256,453,1",
        ],
        ["stage_2_train_images/u1.png", "stage_2_train_images/u2.png"],
        {},
        ["0", "1"],
        ["u1", "u2"],
    ),
    "VinDr-CXR": (
        [
            "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max",
            "v1,No finding,14,R11,,,,",
            "v1,No finding,14,R7,,,,",
            "v2,Cardiomegaly,3,R10,6,8,9,9",
            "v2,Pleural effusion,10,R9,1,1,2,2",
        ],
        ["train/v1.png", "train/v2.png"],
        {"positive": "Pleural effusion"},
        ["Pleural effusion absent", "Pleural effusion present"],
        None,
    ),
    "VinDr-CXR, findings by image": (
        [
            "image_id,rad_id,Cardiomegaly,Pleural effusion,No finding",
            "v1,R11,0,0,1",
            "v1,R7,0,0,1",
            "v2,R10,1,0,0",
            "v2,R9,0,1,0",
        ],
        ["train/v1.png", "train/v2.png"],
        {"positive": "Pleural effusion"},
        ["Pleural effusion absent", "Pleural effusion present"],
        None,
    ),
}


@pytest.fixture(params=list(TABLES))
def collection(request, put, tmp_path):
    rows, files, rules, labels, patients = TABLES[request.param]
    root = tmp_path / "CheXpert-v1.0-small"
    put(*(f"{root.name}/{file}" for file in files))
    (root / "table.csv").write_text("\n".join(rows) + "\n")
    rules = {**rules, "root": tmp_path if request.param == "CheXpert" else root}
    return request.param, root / "table.csv", rules, labels, patients


def test_a_public_table_is_recognized(collection):
    name, path, rules, labels, patients = collection
    images = ImageDataset.open(path, **rules)
    assert images.y.tolist() == labels
    assert images.class_names == tuple(sorted(set(labels)))
    if patients is not None:
        assert images.patients.tolist() == patients
    assert images.patients_known == (patients is not None)
    assert any(remark.startswith(f"read as {name}: ") for remark in images.inventory.remarks)


def test_what_only_the_user_can_decide_is_asked_for(collection):
    _, path, rules, *_ = collection
    decisions = {name: rules.pop(name) for name in ("positive", "uncertain") if name in rules}
    if not decisions:
        return
    with pytest.raises(UsageError, match="--positive, one of: ") as raised:
        ImageDataset.open(path, **rules)
    assert decisions["positive"] in str(raised.value)
    # Features can be extracted without a decision.
    unlabeled = as_images(path, labeled=None, **rules)
    assert set(unlabeled.y) == {""}
    assert any(text.startswith("labels are not read") for text in unlabeled.inventory.remarks)
    if "uncertain" in decisions:
        with pytest.raises(UsageError, match=r"1 of 4 labels are -1, .*uncertain"):
            ImageDataset.open(path, **rules, positive=decisions["positive"])
        with pytest.raises(UsageError, match="did you mean"):
            ImageDataset.open(path, **rules, positive="Pneumona")
        images = ImageDataset.open(path, **rules | decisions | {"uncertain": "skip"})
        assert [each.reason for each in images.inventory.passed_over] == [
            "with the uncertain label -1"
        ]


@pytest.mark.parametrize("separator", ["|", ";", ",", " & "])
def test_findings_in_another_order_are_not_another_class(put, separator):
    labels = ["None seen", f"Effusion{separator}Mass", f"Mass{separator}Effusion"]
    rows = [f'{number}.png,"{label}"' for number, label in enumerate(labels)]
    path = put("0.png", "1.png", "2.png") / "list.csv"
    path.write_text("\n".join(["path,label", *rows]))
    with pytest.raises(UsageError, match=r"lists several findings|spelled in two ways"):
        ImageDataset.open(path)


@pytest.mark.parametrize("given", ["split", "chexpert"])
def test_the_tables_of_mimic_are_joined_by_the_line_that_is_proposed(
    put, tmp_path, monkeypatch, given
):
    monkeypatch.chdir(put("ab.png", "cd.png", "ef.png"))
    rows = {
        "split": ("dicom_id,study_id,subject_id,split", "ab,5,10,train", "cd,5,10,train"),
        "chexpert": ("subject_id,study_id,No Finding,Edema", "10,5,,1.0", "11,6,1.0,"),
    }
    rows["split"] += ("ef,6,11,train",)
    for name, lines in rows.items():
        with gzip.open(f"mimic-cxr-2.0.0-{name}.csv.gz", "wt") as file:
            file.write("\n".join(lines))
    table = f"mimic-cxr-2.0.0-{given}.csv.gz"
    with pytest.raises(UsageError, match="images in one table and its findings in") as raised:
        ImageDataset.open(table, root=tmp_path)
    exec(str(raised.value).split("`")[1])
    images = ImageDataset.open("joined.csv", root=tmp_path, positive="Edema")
    assert images.labels.tolist() == [1, 1, 0]
    assert images.patients.tolist() == ["10", "10", "11"]
    if given == "split":
        alone = ImageDataset.open(table, root=tmp_path, labeled=False)
        assert alone.patients.tolist() == ["10", "10", "11"]
