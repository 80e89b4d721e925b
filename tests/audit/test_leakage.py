from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.audit.leakage import audit_split, find_leaks, inspect_images
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import split_and_audit, split_images
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from tests.benchmarking.conftest import draw

SPLITS = np.repeat(["train", "test"], [80, 40])


def with_source(images, index, pixels):
    sources = list(images.sources)
    sources[index] = pixels
    return replace(images, sources=tuple(sources))


def audit(images, externals=None, **settings):
    inspection = inspect_images(images, externals)
    splits = split_images(inspection.images, test_size=0.3)
    return audit_split(inspection, splits.in_test, splits.in_train, **settings)


def by_kind(result):
    return {finding.kind: finding for finding in result.findings}


def test_clean_images_give_their_class_shares_only():
    result = audit(draw(splits=SPLITS))
    result.check()
    assert list(by_kind(result)) == ["class-share"]
    assert result.warnings == []
    assert "50.0 % ill, 50.0 % well" in by_kind(result)["class-share"].text


def test_a_test_image_that_was_trained_on_is_an_error_that_names_it():
    images = draw(splits=SPLITS)
    leaking = with_source(images, 100, images.sources[3])
    leaking = with_source(leaking, 101, np.clip(images.sources[8] + 1.0, 0, 255))
    result = audit(leaking)
    with pytest.raises(UsageError, match=r"array-000003 = array-000100.*--leaks drop"):
        result.check()
    found = by_kind(result)
    assert found["exact-duplicates-across"].count == 1
    assert found["near-duplicates-across"].examples == ("array-000008 = array-000101",)
    assert {leak.severity for leak in result.leaks} == {"leak"}
    assert found["exact-duplicates-across"].text == (
        "1 pair of pixel-identical images is in both training and test."
    )
    allowed = audit(leaking, allow_leaks=True)
    allowed.check()
    assert allowed.to_dict()["allowed"] is True


def test_patients_in_both_training_and_test_are_a_leak():
    images = draw(splits=SPLITS)
    patients = images.patients.copy()
    patients[90] = patients[0]
    with pytest.raises(UsageError, match=rf"1 patient has images in both .*patient {patients[0]}"):
        audit(replace(images, patients=patients)).check()


def test_a_drawn_split_keeps_duplicates_together():
    images = draw()
    for other in range(20, 120, 7):
        images = with_source(images, other, images.sources[other - 20])
    for random_state in range(5):
        inspection = inspect_images(images)
        splits = split_images(inspection.images, random_state=random_state)
        result = audit_split(inspection, splits.in_test, splits.in_train)
        result.check()
        assert by_kind(result)["duplicates-within"].severity == "information"
    assert not set(splits.train.patients) & set(splits.test.patients)
    assert len(np.unique(splits.train.patients)) < len(np.unique(images.patients))


def test_duplicates_of_two_classes_are_a_warning():
    images = draw(splits=SPLITS)
    result = audit(with_source(images, 2, images.sources[0]))
    found = by_kind(result)["labels-differ"]
    assert found.examples == ("array-000000 (ill) = array-000002 (well)",)
    assert found.text == "1 pair of duplicates has two different labels: one label is wrong."
    assert found in result.warnings
    alike = audit(with_source(images, 1, images.sources[0]))
    assert "labels-differ" not in by_kind(alike)


def test_external_images_must_be_new_too():
    images, external = draw(), draw(random_state=1, n=20)
    assert "exact-duplicates-across" not in by_kind(audit(images, {"other": external}))
    inspection = inspect_images(images, {"other": with_source(external, 4, images.sources[0])})
    in_test = np.arange(120) >= 90
    with pytest.raises(UsageError, match="training and external set other"):
        audit_split(inspection, in_test, ~in_test).check()
    # Models learn nothing from test images, so that those may be in other sets as well.
    assert audit_split(inspection, ~in_test, in_test).leaks == []


PICTURES = np.random.default_rng(5).integers(0, 255, (16, 9, 9), np.uint8)


@st.composite
def collections(draw):
    """Images by content and patient, of which some are test images, and contents elsewhere."""
    n = draw(st.integers(2, 9))
    numbers = st.lists(st.integers(0, 6), min_size=n, max_size=n)
    in_test = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return draw(numbers), draw(numbers), in_test, draw(st.lists(st.integers(0, 6), max_size=2))


@settings(max_examples=60, deadline=None)
@given(collections(), st.booleans())
def test_dropping_leaves_nothing_that_is_connected_with_a_test_image(collection, known):
    contents, patients, in_test, elsewhere = collection
    in_test = np.array(in_test)
    names = [f"p{number}" for number in patients] if known else None
    classes = {"class_names": ["a", "b"]}
    images = ImageDataset.from_arrays(
        PICTURES[contents], np.zeros(len(contents), int), patients=names, **classes
    )
    others = ImageDataset.from_arrays(PICTURES[elsewhere], np.zeros(len(elsewhere), int), **classes)
    externals = {"x": others} if elsewhere else {}
    inspection = inspect_images(images, externals)
    dropped = find_leaks(inspection, in_test)

    # Brute force: the closure of "same picture or same patient", by walking.
    reached = in_test | np.isin(contents, elsewhere)
    for _ in contents:
        for i, j in np.ndindex(len(contents), len(contents)):
            if contents[i] == contents[j] or (known and patients[i] == patients[j]):
                reached[i] |= reached[j]
    np.testing.assert_array_equal(dropped, reached & ~in_test)
    in_train = ~in_test & ~dropped
    if in_train.any() and in_test.any():
        audit_split(inspection, in_test, in_train).check()


def two_more(images, other, source):
    """Add an image of another patient with the picture of an image."""
    patients = images.patients.copy()
    patients[other] = "zz"
    return replace(with_source(images, other, images.sources[source]), patients=patients)


def test_dropping_a_leak_is_no_dead_end():
    """Image 3 has a copy of a test image's patient; a copy of it stays, which once was an error."""
    images = two_more(draw(splits=SPLITS), 20, 3)
    patients = images.patients.copy()
    patients[100] = patients[3]
    data = split_and_audit(replace(images, patients=patients), config=BenchmarkConfig(leaks="drop"))
    names = set(data.splits.train.names)
    assert not names & {"array-000002", "array-000003", "array-000020"}
    assert "array-000021" in names


def test_patients_who_share_an_image_with_a_test_patient_are_dropped_whole():
    images = with_source(draw(splits=SPLITS), 100, draw().sources[3])
    data = split_and_audit(images, config=BenchmarkConfig(leaks="drop"))
    assert not set(data.splits.train.patients) & set(images.patients[[3, 100]])
    assert len(data.splits.train) == 78


def test_a_class_that_leaks_whole_is_an_error_with_a_way_out():
    images = draw(n=24, splits=np.repeat(["train", "test"], [12, 12]))
    patients = np.where(images.labels == 0, "one", images.patients)
    with pytest.raises(UsageError, match=r"none of class ill is left.*--leaks allow"):
        split_and_audit(replace(images, patients=patients), config=BenchmarkConfig(leaks="drop"))


def test_note_and_flow_count_the_same_patients():
    """Two training patients share an image, another has an unreadable one only."""
    images = two_more(draw(splits=SPLITS), 20, 3)
    for index in (30, 31):
        images = with_source(images, index, np.zeros((3, 3, 5), np.uint8))
    data = split_and_audit(images)
    flow = {step["step"]: step for step in data.flow()}
    noted = data.split_note.values
    assert noted["train_images"] == flow["training"]["images"] == 78
    assert noted["train_patients"] == flow["training"]["patients"] == 39
    assert by_kind(data.audit)["patients-joined"].examples == ("patient zz",)


def test_external_sets_are_compared_with_test_images_and_each_other():
    images = draw(splits=SPLITS)
    one, other = draw(random_state=1, n=20), draw(random_state=2, n=20)
    one = with_source(one, 4, images.sources[100])
    other = with_source(other, 5, one.sources[8])
    other = replace(other, patients=np.where(other.patients == "s2p001", "s1p000", other.patients))
    result = audit(images, {"one": one, "other": other})
    result.check()
    found = [(f.kind, f.details.get("first"), f.details.get("second")) for f in result.warnings]
    assert found == [
        ("duplicates-between-sets", "test", "external set one"),
        ("duplicates-between-sets", "external set one", "external set other"),
        ("patients-between-sets", "external set one", "external set other"),
    ]
    patients = np.where(one.patients == "s1p005", images.patients[0], one.patients)
    result = audit(images, {"one": replace(one, patients=patients)})
    text = by_kind(result)["patients-between-sets"].text
    assert text.startswith("1 patient has the same name in training and external set one;")


def test_blank_and_unreadable_images_and_shifted_classes_are_warnings():
    images = with_source(draw(), 5, np.full((32, 32), 7, np.uint8))
    images = with_source(images, 50, np.full((32, 32), 7, np.uint8))
    images = with_source(images, 6, np.zeros((3, 3, 5), np.uint8))
    inspection = inspect_images(images)
    in_test = images.labels * np.arange(120) > 60
    found = by_kind(audit_split(inspection, in_test, ~in_test))
    assert found["constant"].examples == ("array-000005", "array-000050")
    assert found["unreadable"].count == 1
    assert "array-000006: an array of shape (3, 3, 5)" in found["unreadable"].examples[0]
    assert found["class-share"].severity == "warning"
    assert {finding.severity for finding in found.values()} == {"warning"}


def test_the_flow_counts_every_image_once():
    images = with_source(draw(), 6, np.zeros((3, 3, 5), np.uint8))
    data = split_and_audit(images, {"other": draw(random_state=1, n=20)})
    found, unreadable, training, test, other = data.flow()
    assert found["images"] == 120
    assert found["patients"] == 60
    assert found["classes"] == {"ill": 60, "well": 60}
    assert unreadable["images"] + training["images"] + test["images"] == 120
    assert other == {
        "step": "external: other",
        "images": 20,
        "patients": 10,
        "classes": {"ill": 10, "well": 10},
    }
    nameless = ImageDataset.from_arrays([image.copy() for image in images.sources], images.labels)
    assert split_and_audit(nameless).flow()[0]["patients"] is None


def test_images_read_at_another_depth_than_most_are_a_warning():
    images = draw(splits=SPLITS)
    sources = [(source.astype(np.uint16) + 200) * 8 for source in images.sources]
    deep = replace(images, sources=tuple(sources))
    assert "depths-differ" not in by_kind(audit(deep))
    # A 14-bit detector's images without a bright pixel are taken for 12 bits.
    for index in range(len(sources) - 3):
        sources[index] = sources[index] * np.uint16(4)
    found = by_kind(audit(replace(images, sources=tuple(sources))))["depths-differ"]
    assert (found.severity, found.count) == ("warning", 3)
    assert set(found.examples) == set(images.names[-3:])
    assert f"(12 bits: 3, 14 bits: {len(sources) - 3})" in found.text
