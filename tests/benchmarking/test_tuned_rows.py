"""Tuned backbones: some patients tune, others fit, and no image does both."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.audit.leakage import inspect_images
from featx.audit.membership import membership_record, tuning_members
from featx.backbones import feature_maps
from featx.backbones.tuned import read_tuned
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.tuned_rows import split_for_tuning
from featx.errors import FeatxError, UsageError
from tests.benchmarking.conftest import GridMaps, draw

NAME = "tuned:efficientnet_lite0@32"
SETTINGS = {
    "backbones": [NAME, f"efficientnet_lite0@32+{NAME}"],
    "classifiers": "logistic",
    "views": 1,
    "test_size": 0.4,
    "tuning_size": 0.4,
    "cv": 3,
    "controls": False,
    "learning_curve": False,
    "baseline_settings": {"epochs": 1, "batch_size": 16},
}


@pytest.fixture(scope="module")
def permuted():
    """Noise of 100 patients, whose classes are drawn anew: nothing can be learned from them."""
    images = draw(n=200, classes=("well", "ill"), signal=0)
    labels = np.random.default_rng(5).permutation(images.labels[::2]).repeat(2)
    return replace(images, labels=labels)


def set_up(environment):
    """Use one secret, and heat maps without a network, which are not the point."""
    environment.setenv("FEATX_PATIENT_SECRET", "a secret of these tests")
    maps = lambda backbone, weights, pooling: GridMaps(backbone.features)  # noqa: E731
    environment.setattr(feature_maps, "make_maps", maps)


@pytest.fixture(autouse=True)
def _set_up(monkeypatch):
    set_up(monkeypatch)


@pytest.fixture(scope="module")
def run(permuted, tmp_path_factory):
    """A finished run: its folder, its cache and its table."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as environment:
        set_up(environment)
        table = featx.benchmark(permuted, **SETTINGS, out=folder / "out", cache=folder / "cache")
    return folder / "out", folder / "cache", table


def model_of(out):
    return featx.load_model(out / "models" / "tuned-efficientnet_lite0@32-logistic.skops")


def test_no_patient_tunes_and_fits(run, permuted):
    out, _, table = run
    (file,) = (out / "tuned").glob("*.h5")
    tuned = read_tuned(file)
    fitted = model_of(out).membership_
    for each in ("images", "patients"):
        assert not np.isin(tuned.members[each], fitted[each]).any()
    n_train, n_test = table[0].n_train, table[0].scores.n
    assert len(tuned.members["images"]) + n_train + n_test == len(permuted)
    assert len(fitted["images"]) == n_train


def test_permuted_labels_rank_by_chance(run):
    for row in run[2]:
        area = row.estimates["auc"]
        assert area.low < 0.5 < area.high
        assert abs(row.auc_out_of_fold - 0.5) < 0.2


def test_a_row_states_its_tuning_and_counts_its_time(run):
    out, _, (alone, joined) = run
    assert (alone.kind, joined.kind) == ("tuned", "tuned")
    assert alone.label == f"{NAME}, logistic"
    (facts,) = alone.settings["tuned"]
    assert alone.costs.seconds_fit > facts["seconds"] > 0
    assert alone.costs.parameters * 2 == joined.costs.parameters
    names = [recipe["backbone"] for recipe in joined.recipes]
    assert names == ["efficientnet_lite0", "tuned:efficientnet_lite0"]
    (digest,) = {recipe["weights"] for recipe in (alone.recipes[0], joined.recipes[1])}
    assert (out / "tuned" / f"efficientnet_lite0-{digest[:16]}.weights.h5").is_file()
    text = f"fine-tuned on {facts['images']} training images of {facts['patients']} patients"
    assert text in (out / "table.md").read_text()
    page = (out / "report.html").read_text()
    assert "First fine-tuned on some of the training patients" in page
    # The page's head counts all training images, not those left for the classifier.
    assert f">{facts['images'] + alone.n_train:,} training images<" in page


def test_duplicates_of_other_patients_stay_on_one_side(permuted):
    sources, n = list(permuted.sources), len(permuted)
    for number in range(0, n // 2, 2):
        # An exact copy, and nearly the same image, of a patient of the second half.
        sources[n // 2 + number] = sources[number]
        sources[n // 2 + number + 1] = np.clip(sources[number + 1].astype(int) + 1, 0, 255).astype(
            np.uint8
        )
    joined = inspect_images(replace(permuted, sources=tuple(sources))).images
    for random_state in range(5):
        sides = split_for_tuning(joined, 0.5, random_state)
        tuning, fitting = (set(side.names) for side in sides)
        assert tuning | fitting == set(joined.names)
        for number in range(n // 2):
            pair = {joined.names[number], joined.names[n // 2 + number]}
            assert pair <= tuning or pair <= fitting


def test_a_finished_tuning_is_found_again_and_a_lost_file_is_written_again(run, permuted):
    out, cache, table = run
    (file,) = (out / "tuned").glob("*.h5")
    log = next(out.glob("tuned/*/log.csv"))
    before, written = file.read_bytes(), log.stat().st_mtime_ns
    file.unlink()
    again = featx.benchmark(permuted, **SETTINGS, out=out, cache=cache)
    assert file.read_bytes() == before
    assert log.stat().st_mtime_ns == written
    assert [row.auc for row in again] == [row.auc for row in table]


def test_predict_finds_the_weights_beside_the_model_or_where_it_is_told(run, permuted, tmp_path):
    out, cache, _ = run
    new = draw(random_state=3, n=4, classes=("well", "ill"))
    (file,) = (out / "tuned").glob("*.h5")
    model = model_of(out)
    expected = featx.predict(model, new, cache=cache).probabilities
    model.save(tmp_path / "m.skops")
    assert str(out).encode() not in (tmp_path / "m.skops").read_bytes()
    with pytest.raises(FeatxError, match=f"{file.name} are not in .*--weights-dir"):
        featx.predict(tmp_path / "m.skops", new, cache=cache)
    for settings in ({"weights_dir": file.parent}, {"weights": file}):
        found = featx.predict(tmp_path / "m.skops", new, cache=cache, **settings)
        assert np.array_equal(found.probabilities, expected)
    shutil.copy(file, tmp_path)
    assert np.array_equal(featx.predict(tmp_path / "m.skops", new).probabilities.argmax(1),
                          expected.argmax(1))  # fmt: skip
    assert featx.explain(tmp_path / "m.skops", new).to_dict()["method"] == "class activation map"


def test_images_that_tuned_the_network_are_left_out_of_fits_and_named_elsewhere(
    run, permuted, tmp_path, caplog
):
    out, cache, _ = run
    (file,) = (out / "tuned").glob("*.h5")
    record = read_tuned(file).members
    settings = {"views": 1, "cache": cache}
    matrix = featx.extract(permuted, f"tuned:{file}", **settings, out=tmp_path / "m.h5")
    matrix = featx.FeatureMatrix.load(tmp_path / "m.h5")
    tuned = tuning_members(matrix)
    assert tuned.sum() == len(record["images"])
    frozen = featx.extract(permuted, "efficientnet_lite0@32", **settings)
    for each in (matrix, featx.FeatureMatrix.join([frozen, matrix])):
        model = featx.fit(each, "logistic", cv=3, n_jobs=1)
        assert model.provenance_["images"] == len(permuted) - tuned.sum()
        assert f"{tuned.sum()} of {len(permuted)} images are left out" in caplog.text
    with pytest.raises(UsageError, match=f"besides {tuned.sum()} that tuned its network"):
        featx.fit(matrix.select_images(np.flatnonzero(tuned)), "logistic")
    # By patient, too, where the images themselves are others.
    others = replace(matrix, digests=tuple(f"{n:064x}" for n in range(len(permuted))))
    assert np.array_equal(tuning_members(others), tuned)
    unknown = replace(others, patients_known=False)
    assert not tuning_members(unknown).any()
    found = featx.predict(model_of(out), permuted.select(tuned)[:3], cache=cache).findings
    assert ("tuned-on-images", 3) in [(each.kind, each.count) for each in found]


def test_a_record_without_patients_knows_images():
    digests = [f"{n:064x}" for n in range(4)]
    matrix = featx.FeatureMatrix(
        X=np.zeros((4, 2), np.float32), image=np.arange(4), view=np.zeros(4, int),
        names=tuple("abcd"), digests=tuple(digests), labels=np.zeros(4, int),
        patients=np.array(list("ppqq")), splits=np.full(4, ""), class_names=("a", "b"),
        tuned_on=(membership_record(digests[1:3], None),),
    )  # fmt: skip
    assert tuning_members(matrix).tolist() == [False, True, True, False]


def test_names_that_a_benchmark_cannot_tune_are_refused():
    with pytest.raises(UsageError, match="tunes backbones itself"):
        BenchmarkConfig(backbones="tuned:a.weights.h5")
    with pytest.raises(UsageError, match="starts from ImageNet weights, not from random"):
        BenchmarkConfig(backbones=NAME, extraction=featx.ExtractionConfig(weights="random"))
