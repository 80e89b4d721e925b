import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import patient_folds
from featx.datasets.synthetic import PHANTOM_PATIENT_PATTERN, make_phantoms
from featx.errors import UsageError
from featx.images.augmentation import Augmentation, make_view


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory):
    """The images of the demo: about 600."""
    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(folder)
    return folder


@pytest.fixture(scope="module")
def demo_images(demo_folder):
    return ImageDataset.open(demo_folder, PHANTOM_PATIENT_PATTERN)


def test_a_new_set_replaces_the_old_one_but_never_other_files(tmp_path):
    folder = tmp_path / "set"
    make_phantoms(folder, patients=6, images_per_patient=(2, 2), random_state=1)
    (folder / "NORMAL" / "mine.txt").write_text("keep")
    paths = make_phantoms(folder, patients=3, images_per_patient=(1, 1), random_state=2)
    assert sorted(folder.rglob("*.jpeg")) == sorted(paths)
    assert len(paths) == 3
    assert (folder / "NORMAL" / "mine.txt").read_text() == "keep"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "scan.dcm").write_bytes(b"x")
    with pytest.raises(UsageError, match="holds other files"):
        make_phantoms(tmp_path / "full", patients=3)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["scan.dcm"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patients": 1}, "class empty"),
        ({"prevalence": 0.0}, "class empty"),
        ({"prevalence": 1.0}, "class empty"),
        ({"images_per_patient": (0, 2)}, "images_per_patient"),
        ({"images_per_patient": (3, 2)}, "images_per_patient"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        make_phantoms(tmp_path / "set", **settings)
    assert not (tmp_path / "set").exists()


def test_patients_images_and_prevalence_are_as_given_and_a_seed_gives_the_same_bytes(tmp_path):
    settings = {"patients": 20, "images_per_patient": (2, 3), "prevalence": 0.3, "size": 64}
    one, again, other = (
        [path.read_bytes() for path in make_phantoms(tmp_path / name, **settings, random_state=n)]
        for name, n in (("one", 5), ("again", 5), ("other", 6))
    )
    assert one == again
    assert not set(one) & set(other)
    images = ImageDataset.open(tmp_path / "one", PHANTOM_PATIENT_PATTERN)
    assert images.class_names == ("NORMAL", "PNEUMONIA")
    assert len(images) == len(one) == len(set(one))
    patients, counts = np.unique(images.patients, return_counts=True)
    assert len(patients) == 20
    assert set(counts) == {2, 3}
    ill = set(images.patients[images.labels == 1])
    assert len(ill) == 6
    assert not ill & set(images.patients[images.labels == 0])
    assert "SYNTHETIC" in (tmp_path / "one" / "SYNTHETIC.txt").read_text()


@pytest.mark.slow
def test_size_exposure_and_file_do_not_predict_the_class(demo_folder, demo_images):
    pixels = [demo_images.read(i) for i in range(len(demo_images))]
    shortcuts = {
        "brightness": [image.mean() for image in pixels],
        "contrast": [image.std() for image in pixels],
        "width": [image.shape[1] for image in pixels],
        "height": [image.shape[0] for image in pixels],
        "aspect": [image.shape[1] / image.shape[0] for image in pixels],
        "bytes": [(demo_folder / name).stat().st_size for name in demo_images.names],
    }
    # With some 240 patients, chance alone stays within 0.1 of a half.
    aucs = {name: roc_auc_score(demo_images.labels, value) for name, value in shortcuts.items()}
    assert all(0.4 < auc < 0.6 for auc in aucs.values()), aucs
    numbers = [int(patient.removeprefix("patient")) for patient in demo_images.patients]
    assert 0.4 < roc_auc_score(demo_images.labels, numbers) < 0.6


def _grouped_auc(features, images):
    """AUC of out-of-fold scores of a logistic regression, by patient."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=3000)
    )
    scores = np.zeros(len(images))
    for training, validation in patient_folds(images.labels, images.patients, n_splits=4):
        model.fit(features[training], images.labels[training])
        scores[validation] = model.decision_function(features[validation])
    return roc_auc_score(images.labels, scores)


@pytest.mark.slow
def test_the_task_is_neither_trivial_nor_hopeless(demo_images):
    backbone = get_backbone("efficientnet_lite0")
    pixels = [demo_images.read(i) for i in range(len(demo_images))]
    views = np.stack([make_view(image, "", 0, backbone.size, Augmentation()) for image in pixels])
    aucs = {
        weights: _grouped_auc(
            make_engine(backbone, find_weights(backbone, weights)).embed(views), demo_images
        )
        for weights in ("imagenet", "random")
    }
    gray = np.array([np.histogram(image, 32, (0, 256))[0] / image.size for image in pixels])
    aucs["histogram"] = _grouped_auc(gray, demo_images)
    assert 0.85 < aucs["imagenet"] < 0.985, aucs
    assert aucs["random"] < aucs["imagenet"] - 0.08, aucs
    assert aucs["histogram"] < aucs["imagenet"] - 0.15, aucs
