"""Verification of results folders: changed values are found by name, untouched runs have none."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx
from featx.benchmarking.recomputation import FinishedResults
from featx.benchmarking.run_images import record_again
from featx.errors import UsageError
from featx.features.pipeline import ENGINES
from tests.benchmarking.conftest import GridEngine, draw

SETTINGS = {"classifiers": ["logistic", "naive_bayes"], "views": 1, "cv": 3, "test_size": 0.5}
SETTINGS |= {"subgroups": "sex", "repeats": 2, "unit": "patient", "n_jobs": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with external set, subgroups, repeats and decisions by patient."""
    out = tmp_path_factory.mktemp("verify") / "out"
    images, others = drawn()
    with ENGINES.using(lambda embedder: GridEngine(embedder.backbone.features)):
        featx.benchmark(images, **SETTINGS, externals=others, out=out, cache=out.parent / "cache")
    return out


def drawn(n=160):
    """Return the images of the run and its external set."""
    columns = {"sex": np.array(["F", "M"])[np.arange(160) // 4 % 2]}
    images = replace(draw(n=160, signal=12), columns=columns)
    return images.select(np.arange(n)), {"other": draw(1, n=60, signal=30)}


@pytest.fixture
def copy(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "out"))


def leaves(value, place):
    """Yield container, key and path of each number."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(each, dict | list):
            yield from leaves(each, f"{place}/{key}")
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield value, key, f"{place}/{key}"


def other_digit(text, generator):
    """Change the last digit of a number, or add one to a text without."""
    places = [match.start() for match in re.finditer(r"\d", text)]
    place = places[-1]
    digit = str((int(text[place]) + int(generator.integers(1, 10))) % 10)
    return text[:place] + digit + text[place + 1 :]


def draw_from(generator, values, n):
    return [values[place] for place in generator.choice(len(values), n, replace=False)]


def test_an_untouched_run_has_no_mismatch_and_is_read_without_tensorflow(run):
    code = (
        "import sys, featx; found = featx.verify(sys.argv[1]); "
        "assert not {'tensorflow', 'keras', 'torch'} & set(sys.modules); "
        "print(len(found.mismatches), found.n_checked, found.evaluations, found.unchecked)"
    )
    words = [sys.executable, "-c", code, str(run)]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    mismatches, checked, evaluations, unchecked = text.split(maxsplit=3)
    rows = json.loads((run / "results.json").read_text())
    assert mismatches == "0" and int(checked) > 1000
    assert unchecked.count(":") == 1 and "the images were not given" in unchecked
    assert int(evaluations) == len(rows) == 9


def test_changed_figures_are_found(copy, generator):
    rows = json.loads((copy / "results.json").read_text())
    numbers = [each for r in rows for each in leaves(r, f"results.json/{r['name']}")]
    chosen = draw_from(generator, numbers, 80)
    assert len({place.split("/")[2] for _, _, place in chosen}) > 20
    for container, key, _ in chosen:
        container[key] += 1 if isinstance(container[key], int) else 1e-6
    (copy / "results.json").write_text(json.dumps(rows))
    found = {each.field: each for each in featx.verify(copy).mismatches}
    assert set(found) == {place for _, _, place in chosen}
    assert all(found[place].stored == container[key] for container, key, place in chosen)


def test_changed_cells_and_numbers_of_the_page_are_found(copy, generator):
    expected = []
    path = copy / "table.csv"
    lines = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    cells = [(i, j) for i in range(1, len(lines)) for j, c in enumerate(lines[i]) if "0." in c]
    for line, column in draw_from(generator, cells, 20):
        lines[line][column] = other_digit(lines[line][column], generator)
        expected.append((f"table.csv/line {line + 1}/{lines[0][column]}", lines[line][column]))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    path = copy / "table.md"
    lines = [line.split(" | ") for line in path.read_text().splitlines()]
    cells = [(i, j) for i in range(2, 11) for j in range(1, 6) if "0." in lines[i][j]]
    for line, column in draw_from(generator, cells, 20):
        lines[line][column] = other_digit(lines[line][column], generator)
        expected.append((f"table.md/line {line + 1}/{lines[0][column]}", lines[line][column]))
    path.write_text("".join(" | ".join(line) + "\n" for line in lines))
    path = copy / "report.html"
    style, end, body = path.read_text().partition("</style>")
    places = [match.span() for match in re.finditer(r"(?<=[\s>])\d\.\d{3}(?=[\s<])", body)]
    for first, last in draw_from(generator, places, 40):
        word = other_digit(body[first:last], generator)
        body = body[:first] + word + body[last:]
        line = style.count("\n") + body[:first].count("\n") + 1
        expected.append((f"report.html/line {line}", word))
    path.write_text(style + end + body)
    found = [(each.field, each.stored) for each in featx.verify(copy).mismatches]
    assert len(expected) == 80 and sorted(found) == sorted(expected)


def test_changed_scores_and_models_are_found(copy, generator):
    paths = sorted(copy.glob("scores/*.csv"))
    finished = FinishedResults.read(copy)
    for number in range(40):
        path = paths[number % len(paths)]
        kept = path.read_bytes()
        lines = list(csv.reader(io.StringIO(kept.decode(), newline="")))
        line, column = generator.integers(1, len(lines)), generator.integers(len(lines[0]))
        cell = lines[line][column]
        lines[line][column] = other_digit(cell, generator) if re.search(r"\d", cell) else "well "
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(lines)
        changed = [name for name, now, before in finished.files(copy) if now != before]
        assert changed == [f"scores/{path.name}"]
        path.write_bytes(kept)
    model = next(copy.glob("models/*.skops"))
    model.write_bytes(model.read_bytes() + b"\0")
    assert [each.field for each in featx.verify(copy).mismatches] == [f"models/{model.name}"]


def test_changed_scores_without_a_record_change_figures(copy, run_featx):
    path = copy / "scores" / "efficientnet_lite0-logistic.csv"
    text = path.read_text().splitlines(keepends=True)
    cells = text[1].split(",")
    cells[3], cells[4] = cells[4], cells[3]
    path.write_text("".join([text[0], ",".join(cells), *text[2:]]))
    shutil.rmtree(copy / "rows")
    code, text, _ = run_featx("verify", copy)
    assert code == 1 and "results.json/efficientnet_lite0-logistic/auc: stored 0." in text
    assert "Not checked: threshold, costs and settings of efficientnet_lite0-logistic" in text
    code, text, _ = run_featx("verify", copy, "--json")
    fields = {each["field"] for each in json.loads(text)["mismatches"]}
    assert code == 1 and "results.json/efficientnet_lite0-logistic/brier" in fields
    assert {name.split("/")[1] for name in fields if name.startswith("results.json")} == {
        "efficientnet_lite0-logistic"
    }


def test_a_removed_row_is_found(copy):
    rows = json.loads((copy / "results.json").read_text())
    (copy / "results.json").write_text(json.dumps(rows[1:]))
    found = {each.field: each.expected for each in featx.verify(copy).mismatches}
    assert found[f"results.json/{rows[0]['name']}"] == "a finished row"


def test_images_are_compared_with_the_record_of_the_run(copy):
    found = featx.verify(copy, *drawn())
    assert not found.mismatches and not found.unchecked
    run = json.loads((copy / "run.json").read_text())
    run["inputs"]["externals"]["other"] = "0" * 64
    run["flow"][1]["patients"] += 1
    run["inventory"]["other"]["n_patients"] = 3
    run["audit"]["findings"] = []
    (copy / "run.json").write_text(json.dumps(run))
    fields = {each.field for each in featx.verify(copy, *drawn()).mismatches}
    expected = {"inputs/externals/other", "flow/1/patients", "inventory/other/n_patients"}
    assert {f"run.json/{each}" for each in (*expected, "audit/findings/0")} <= fields


def test_other_images_are_named(run):
    fields = {each.field for each in featx.verify(run, *drawn(n=140)).mismatches}
    assert {"run.json/inputs/images", "run.json/flow/0/images"} <= fields
    with pytest.raises(UsageError, match="external set 'other', whose path is not recorded"):
        featx.verify(run, drawn()[0])


@pytest.mark.parametrize("changed", [{"test_size": None}, {"externals": None}, {"patients": "x"}])
def test_edited_settings_that_open_no_images_are_named(copy, changed):
    run = json.loads((copy / "run.json").read_text())
    run["settings"] |= changed
    (copy / "run.json").write_text(json.dumps(run))
    with pytest.raises(UsageError, match=r"settings in run\.json: .*Without images the rest"):
        featx.verify(copy, "nowhere" if "patients" in changed else drawn()[0], drawn()[1])


def test_a_run_that_is_not_finished_is_said_to_be(copy):
    run = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(run | {"finished": False}))
    assert any("the run is not finished" in each for each in featx.verify(copy).unchecked)


def test_a_root_that_is_not_recorded_can_be_given_again(tmp_path):
    images, _ = drawn()
    rows = ["path,label,patient"]
    for place in range(60):
        name = f"{place}.png"
        Image.fromarray(images.read(place)).save(tmp_path / name)
        rows.append(f"{name},{images.labels[place]},{images.patients[place]}")
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "table.csv"
    table.write_text("\n".join(rows))
    settings = featx.BenchmarkConfig(root=str(tmp_path)).to_dict()
    assert str(tmp_path) not in json.dumps(settings)
    with pytest.raises(UsageError, match="give --root"):
        record_again(settings, table, {}, None)
    found = record_again(settings, table, {}, None, str(tmp_path))
    assert found["flow"][0]["images"] == 60


def test_changed_notes_are_found(copy):
    path = copy / "run.json"
    run = json.loads(path.read_text())
    records = {each["kind"]: each["values"] for each in run["note_records"]}
    assert {"seeds", "unit", "shortcut"} <= {*records}
    records["seeds"]["times"] = 10
    run["notes"] = [text.replace("unit", "thing") for text in run["notes"]]
    path.write_text(json.dumps(run))
    fields = {each.field for each in featx.verify(copy).mismatches}
    assert any(re.fullmatch(r"run.json/note_records/\d+/values/times", each) for each in fields)
    assert any(re.fullmatch(r"run.json/notes/\d+", each) for each in fields)
    run["note_records"] = [each for each in run["note_records"] if each["kind"] != "shortcut"]
    path.write_text(json.dumps(run))
    assert any(
        each.field.startswith("run.json/note_records/") and each.expected["kind"] == "shortcut"
        for each in featx.verify(copy).mismatches
        if each.stored is None and isinstance(each.expected, dict)
    )


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(UsageError, match="featx benchmark --out"):
        featx.verify(tmp_path)
