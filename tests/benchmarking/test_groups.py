"""Benchmark that trains on all groups of a column but one, and tests on that one."""

import json
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.benchmarking.benchmark import benchmark
from featx.errors import UsageError
from featx.reporting.page import report
from tests.benchmarking.conftest import GridEngine, draw

FAST = {"classifiers": ["logistic"], "views": 1, "learning_curve": False, "cv": 3, "n_jobs": 1}


def drawn(n=240, random_state=0, **settings):
    """Images of three sites, two of a patient; a few have no site, a few a site of one class."""
    images = draw(n=n, random_state=random_state, **settings)
    site = np.array(["north", "south", "East/1"], dtype="U8")[np.arange(n) // 4 % 3]
    site[:4], site[np.flatnonzero(images.labels == 0)[10:14]] = "", "single"
    view = np.array(["PA", "AP"])[np.arange(n) % 2]
    return replace(images, columns={"site": site, "view": view})


@pytest.mark.usefixtures("quick")
def test_each_group_is_tested_by_models_of_the_others(tmp_path, caplog, monkeypatch):
    images, external = drawn(signal=6), draw(n=80, random_state=1, signal=6)
    settings = {**FAST, "leave_group_out": "site", "externals": {"other": external}}
    settings |= {"out": tmp_path, "controls": False}
    embedded = []
    embed = GridEngine.embed
    monkeypatch.setattr(
        GridEngine, "embed", lambda self, x: embedded.append(len(x)) or embed(self, x)
    )
    table = benchmark(images, **settings)
    assert not featx.verify(tmp_path, images, {"other": external}).mismatches
    names = ["East/1", "north", "south"]
    row = table[0]
    assert list(table.groups) == names == [each.group for each in row.scores.subgroups]
    assert "Left out of groups by site: single (4 images): it has no readable image of" in (
        caplog.text
    )
    assert "missing (4 images): no value in the table" in caplog.text
    sites = dict(zip(images.names, images.columns["site"], strict=True))
    tested = {}
    for name, own in table.groups.items():
        found = own.predictions[""][row.name]
        assert {sites[each] for each in found.names} == {name}
        tested[name] = len(found.names)
        assert own[0].n_train == 232 - tested[name]
        assert own[0].scores == next(
            each.scores for each in row.scores.subgroups if each.group == name
        )
    assert sum(tested.values()) == row.scores.n == 232
    # Means over groups; the interval is that of independent groups.
    parts = [own[0].estimates["auc"] for own in table.groups.values()]
    auc = row.estimates["auc"]
    assert auc.value == pytest.approx(np.mean([part.value for part in parts]))
    below = np.sqrt(sum((part.value - part.low) ** 2 for part in parts)) / 3
    assert auc.value - auc.low == pytest.approx(below, rel=1e-6)
    # On the same external images, groups' models are not independent.
    elsewhere = [own[0].externals["other"].metrics["auc"] for own in table.groups.values()]
    mean = row.externals["other"].metrics["auc"]
    assert mean.value == pytest.approx(np.mean([part.value for part in elsewhere]))
    alone = np.sqrt(sum((part.value - part.low) ** 2 for part in elsewhere)) / 3
    assert mean.value - mean.low > 1.4 * alone
    # Each image is embedded once for a network, not once a group.
    assert sum(embedded) < 1.3 * (232 + 80)
    run = json.loads((tmp_path / "run.json").read_text())
    assert [(each["name"], each["test_images"]) for each in run["groups"]] == [*tested.items()]
    assert {each["group"] for each in run["groups_left_out"]} == {"single", "missing"}
    assert [step["images"] for step in run["flow"][:2]] == [240, 8]
    stored = json.loads((tmp_path / "results.json").read_text())[0]
    assert [each["group"] for each in stored["subgroups"]] == names
    page = (tmp_path / "report.html").read_text()
    assert 'href="groups/east-1/report.html"' in page and "By site" in page
    own = (tmp_path / "groups/east-1/report.html").read_text()
    assert "All groups of this benchmark" in own and "the test set is site East/1" in own
    # The same command again computes nothing; other groups are another run.
    monkeypatch.setattr("featx.classifiers.fitting.fit_rows", None)
    assert list(benchmark(images, **settings)) == list(table)
    loaded = featx.BenchmarkTable.load(tmp_path)
    assert list(loaded) == list(table) and list(loaded.groups["north"]) == list(
        table.groups["north"]
    )
    (tmp_path / "groups/north/report.html").unlink()
    report(tmp_path)
    assert (tmp_path / "groups/north/report.html").exists()
    with pytest.raises(UsageError, match="leave_group_out 'site', now None"):
        benchmark(images, **settings | {"leave_group_out": None})
    pytest.importorskip("matplotlib")
    drawings = {path.name for path in featx.figures(tmp_path)}
    assert drawings == {"subgroups-site.csv", "subgroups-site.pdf"}


@pytest.mark.usefixtures("quick")
def test_patients_of_several_groups_are_refused_or_dropped(tmp_path):
    images = drawn()
    settings = {**FAST, "leave_group_out": "view", "controls": False}
    with pytest.raises(UsageError, match=r"view AP left out.*s0p000.*--leaks drop.*name these"):
        benchmark(images, **settings)
    # All patients have both views.
    with pytest.raises(UsageError, match="0 groups that can be tested alone"):
        benchmark(images, **settings, leaks="drop")
    view = images.columns["view"].copy()
    view[40:] = np.repeat(["PA", "AP"], 100)
    images = replace(images, columns={"view": view}, splits=np.full(240, "test"))
    table = benchmark(images, **settings, leaks="drop", out=tmp_path)
    found = {name: own.predictions[""][table[0].name] for name, own in table.groups.items()}
    assert table[0].scores.n == 240 and {*found["AP"].patients} & {*found["PA"].patients}
    for each in table.run["groups"]:
        assert each["leaking_left_out"] == 20 and each["train_images"] == 100
        assert each["test_images"] == 120
    # With three classes, too.
    images = draw(n=180, classes=("a", "b", "c"))
    site = np.array(["north", "south"])[np.arange(180) // 6 % 2]
    table = benchmark(
        replace(images, columns={"site": site}), **settings | {"leave_group_out": "site"}
    )
    assert 0.5 < table[0].estimates["auc"].low <= table[0].auc
    assert {*table[0].estimates} == {"auc", "accuracy"}


@pytest.mark.usefixtures("quick")
def test_means_are_compared_with_the_best_cnn(tmp_path, trained):
    trained(lambda each: np.tile([0.4, 0.6], (len(each), 1)), validation_auc=0.5)
    name = "finetuned:efficientnet_lite0"
    settings = {**FAST, "leave_group_out": "site", "controls": False, "baselines": name}
    table = benchmark(drawn(), **settings, out=tmp_path)
    frozen, cnn = table
    assert (cnn.auc, cnn.comparison, frozen.comparison.other) == (0.5, None, cnn.name)
    found = frozen.comparison.differences["auc"]
    assert found.value == pytest.approx(frozen.auc - 0.5) and found.verdict == "better"
    assert found.low < found.value and found.p_value < 0.001
    assert featx.BenchmarkTable.load(tmp_path)[0].comparison == frozen.comparison
    assert f"Mean AUC is compared with that of {name}" in (tmp_path / "report.html").read_text()


def test_what_cannot_be_is_refused_before_images_are_read():
    for settings, words in {
        ("findings", "all"): "cannot be combined",
        ("subgroups", "sex,site"): "remove 'site'",
        ("covariates", "site"): "remove 'site'",
    }.items():
        with pytest.raises(UsageError, match=words):
            featx.BenchmarkConfig(leave_group_out="site", **dict([settings]))
    with pytest.raises(UsageError, match="names 2"):
        featx.BenchmarkConfig(leave_group_out="site,age")
    config = featx.BenchmarkConfig(leave_group_out="age:5, 18")
    assert config.leave_group_out == "age:5,18" and config.keep_columns == ("age",)
    assert featx.BenchmarkConfig.from_dict(config.to_dict()) == config
    images = replace(drawn(), columns={"site": np.array(["north"] * 240)})
    with pytest.raises(UsageError, match="'site' has 1 group that can be tested"):
        benchmark(images, **FAST, leave_group_out="site")
    with pytest.raises(UsageError, match="no column 'sex'"):
        benchmark(images, **FAST, leave_group_out="sex")
