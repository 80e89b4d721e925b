"""A model recognizes its training images and patients, whichever road they come by."""

import hashlib
import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

import featx
from featx.audit.membership import find_members, membership_record, original_views
from featx.backbones import feature_maps
from featx.classifiers.model_file import load_model, save_model
from featx.errors import UsageError
from tests.conftest import PATIENT_RULE
from tests.features.worker import QuickMaps


@pytest.fixture
def model(monkeypatch, images, tmp_path, quick):
    """A model of the images of patients 0 to 3 and 6 to 9, as a file."""
    monkeypatch.setattr(
        feature_maps, "make_maps", lambda backbone, *_: QuickMaps(backbone.features)
    )
    chosen = [int(patient[1:]) % 6 < 4 for patient in images.patients]
    matrix = featx.extract(images.select(chosen), views=1)
    save_model(featx.fit(matrix, "logistic", cv=2, n_jobs=1), tmp_path / "m.skops")
    return tmp_path / "m.skops"


def of_patients(images, *numbers):
    return images.select([int(patient[1:]) in numbers for patient in images.patients])


def kinds(findings):
    """What is found, but for what chance makes unlike 16 training images."""
    return [(each.kind, each.count) for each in findings if each.kind != "untypical"]


ROADS = {
    "predict": lambda model, images: featx.predict(model, images).findings,
    "adapt": lambda model, images: featx.predict(model, images, adapt=True).findings,
    "explain": lambda model, images: featx.explain(model, images).findings,
    "predict_files": lambda model, images: load_model(model).predict_files(images).findings,
}


@pytest.mark.parametrize("road", ROADS)
def test_training_images_are_named_on_every_road(model, images, caplog, road, monkeypatch):
    if road == "adapt":
        monkeypatch.setattr(
            "featx.classifiers.adaptation.with_adapted_threshold", lambda model, _: model
        )
    assert kinds(ROADS[road](model, of_patients(images, 3, 4, 9))) == [
        ("trained-on-images", 4),
        ("trained-on-patients", 2),
    ]
    assert "LEAK: 4 images are among the training images" in caplog.text
    assert kinds(ROADS[road](model, of_patients(images, 4, 5, 10))) == []


def test_other_images_of_a_training_patient_are_named(model, images):
    others = of_patients(images, 4, 10)
    renamed = replace(others, patients=np.where(others.patients == "p04", "p03", "p10"))
    assert kinds(featx.predict(model, renamed).findings) == [("trained-on-patients", 1)]


def test_evaluate_warns_drops_or_stops(model, images, caplog):
    given = of_patients(images, 3, 4, 5, 10, 11)
    warned = featx.evaluate(model, given)
    assert warned.n == 10 and "LEAK: 2 images" in caplog.text
    dropped = featx.evaluate(model, given, leaks="drop")
    assert dropped.metrics == featx.evaluate(model, of_patients(images, 4, 5, 10, 11)).metrics
    with pytest.raises(UsageError, match=r"2 images are among .* --leaks drop"):
        featx.evaluate(model, given, leaks="error")
    with pytest.raises(UsageError, match="none is left"):
        featx.evaluate(model, of_patients(images, 3, 9), leaks="drop")
    with pytest.raises(UsageError, match="did you mean 'drop'"):
        featx.evaluate(model, given, leaks="dorp")


def test_the_command_prints_the_leak_before_the_estimates(model, image_folder, run_featx):
    words = ["evaluate", model, image_folder, "--patients", PATIENT_RULE]
    code, text, _ = run_featx(*words)
    assert code == 0 and text.startswith("LEAK: 16 images")
    code, text, _ = run_featx(*words, "--json")
    content = json.loads(text)
    assert [each["kind"] for each in content["findings"]][:2] == [
        "trained-on-images",
        "trained-on-patients",
    ]
    code, text, _ = run_featx(*words, "--json", "--leaks", "drop")
    assert code == 0 and json.loads(text)["n_test"] == 8
    code, text, error = run_featx(*words, "--leaks", "error")
    assert code == 2 and not text and "16 images are among" in " ".join(error.split())
    code, text, _ = run_featx("predict", model, image_folder, "--out", model.with_suffix(".csv"),
                              "--json")  # fmt: skip
    assert json.loads(text)["findings"][0]["count"] == 16


def test_copies_in_other_files_are_known_by_their_features(image_folder, tmp_path):
    """Saved again as TIFF, or upside down: the same pictures, and other ones."""
    for name, change in (("again", lambda image: image), ("turned", ImageOps.flip)):
        (tmp_path / name).mkdir()
        for path in sorted(image_folder.rglob("*.png")):
            change(Image.open(path)).save(tmp_path / name / f"{path.stem}.tif")
    model = featx.fit(featx.extract(image_folder, views=2), "naive_bayes", cv=2, n_jobs=1)
    assert kinds(featx.predict(model, tmp_path / "again").findings) == [("trained-on-copies", 24)]
    assert featx.predict(model, tmp_path / "turned").findings == ()


def test_features_of_one_dimension_are_not_sketched(generator):
    features = np.float32(generator.normal(size=(60, 1)) * generator.normal(size=300))
    assert list(membership_record(["x"] * 60, None, lambda: iter([features]))) == ["images"]


def test_few_features_are_not_sketched():
    """Directions of few features are alike by chance."""
    from tests.classifiers.makers import make_matrix

    matrix = make_matrix()
    assert original_views(matrix) is None
    assert "sketches" not in featx.fit(matrix, "naive_bayes", cv=2).membership_


def test_sketches_do_not_depend_on_the_order_or_on_rounding(generator):
    features = generator.normal(size=(60, 300)).astype(np.float32)
    digests = [str(number) for number in range(60)]
    record = membership_record(digests, None, lambda: iter([features[:40], features[40:]]))
    order = generator.permutation(60)
    again = membership_record(digests, None, lambda: iter([features[order]]))
    assert (np.bitwise_xor(record["sketches"], again["sketches"]) > 0).sum() <= 1
    noisy = features * (1 + 1e-4 * generator.normal(size=features.shape)).astype(np.float32)
    names = list("x" * 60)
    _, found = find_members(record, names, ["new"] * 60, None, lambda: iter([noisy]))
    assert kinds(found) == [("trained-on-copies", 60)]
    others = generator.normal(size=(500, 300)).astype(np.float32)
    assert not find_members(record, ["x"] * 500, ["n"] * 500, None, lambda: iter([others]))[0].any()


def test_patients_are_compared_only_under_the_same_secret(model, images, monkeypatch, caplog):
    monkeypatch.setenv("FEATX_PATIENT_SECRET", "another secret, long enough")
    found = featx.predict(model, of_patients(images, 3)).findings
    assert kinds(found) == [("trained-on-images", 2), ("patients-not-compared", 1)]


def test_a_model_file_holds_no_patient_that_could_be_guessed(model, images):
    content = model.read_bytes()
    record = load_model(model).membership_
    for patient in np.unique(images.patients):
        assert patient.encode() not in content
        plain = hashlib.sha256(patient.encode()).digest()
        assert int.from_bytes(plain[:6]) not in record["patients"]


def test_models_without_a_record_say_so(model, images, caplog):
    old = load_model(model)
    del old.membership_
    save_model(old, model)
    # Models of before keep the digests of their out-of-fold images.
    found = featx.predict(model, of_patients(images, 3)).findings
    assert kinds(found) == [("trained-on-images", 2)]
    old.membership_ = None
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        featx.predict(old, of_patients(images, 3, 4))
    (said,) = [record.message for record in caplog.records]
    assert said.startswith("The model does not say which images")


def test_an_unwritable_home_keeps_no_patients(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    record = membership_record(["aa"], np.array(["p"]))
    assert list(record) == ["images"]
    assert not find_members(record, ["x"], ["bb"], np.array(["p"]))[1]
