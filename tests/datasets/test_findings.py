"""Findings of tables with several per image: layouts, and what is refused."""

import pytest

from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

HEADER = ["path", "label", "patient"]
NIH = ["Image Index", "Finding Labels", "Patient ID"]
COLUMNS = ["path", "patient", "Effusion", "Edema", "No Finding"]
CELLS = [("1", "", "0"), ("0.0", "True", "0"), ("-1", "False", "1"), ("", "1", "0")]


@pytest.fixture
def opened(put, tmp_path):
    put(*(f"{number}.png" for number in range(4)))

    def read(header, rows, **rules):
        lines = [header, *rows]
        text = "".join(";".join(map(str, line)) + "\n" for line in lines)
        (tmp_path / "list.csv").write_text(text)
        images = ImageDataset.open(tmp_path / "list.csv", **rules)
        return {name: cells.tolist() for name, cells in images.columns.items()}

    return read


def listed(*cells):
    return [(f"{number}.png", cell, f"p{number}") for number, cell in enumerate(cells)]


def test_lists_name_the_findings_of_an_image(opened):
    rows = listed("Edema|Effusion", "No Finding", "Effusion", "Edema")
    both = {"Edema": ["1", "0", "0", "1"], "Effusion": ["1", "0", "1", "0"]}
    for header in (HEADER, NIH):
        assert opened(header, rows, findings="all") == both
    assert opened(HEADER, rows, findings=["Effusion"]) == {"Effusion": both["Effusion"]}
    rows = listed("['edema', ' effusion']", "['normal']", "['edema']", "[]")
    with pytest.raises(UsageError, match="1 without a label: row 5"):
        opened(HEADER, rows, findings="all")
    found = opened(HEADER, rows, findings="all", skip_problems=True)
    assert found == {"edema": ["1", "0", "1"], "effusion": ["1", "0", "0"]}


def test_columns_hold_a_finding_each(opened):
    rows = [(f"{n}.png", f"p{n}", *cells) for n, cells in enumerate(CELLS)]
    both = {"Effusion": ["1", "0", "-1", ""], "Edema": ["", "1", "0", "1"]}
    assert opened(COLUMNS, rows, findings="all") == both
    assert opened(COLUMNS, rows, findings="Edema") == {"Edema": both["Edema"]}
    # CheXpert's reports do not mention what is absent.
    header = ["Path", "patient", "Pleural Effusion", "Edema", "No Finding"]
    found = opened(header, rows, findings="all")
    assert found == {"Edema": ["0", "1", "0", "1"], "Pleural Effusion": ["1", "0", "-1", "0"]}


def test_unclear_tables_are_refused_with_a_way_out(opened):
    rows = [(f"{n}.png", f"p{n}", *cells, "a|b") for n, cells in enumerate(CELLS)]
    header = [*COLUMNS, "label"]
    with pytest.raises(UsageError, match="--columns label="):
        opened(header, rows, findings="all")
    assert list(opened(header, rows, findings="all", columns="label=")) == ["Effusion", "Edema"]
    assert list(opened(header, rows, findings="Edema")) == ["Edema"]
    assert list(opened(header, rows, findings="a")) == ["a"]
    with pytest.raises(UsageError, match="one class per image"):
        opened(HEADER, listed("Edema", "Effusion", "Edema", "Edema"), findings="all")
    with pytest.raises(UsageError, match="named 'Edma'"):
        opened(HEADER, listed("Edema|Effusion", "Edema", "x", "x"), findings="Edma")
    with pytest.raises(UsageError, match="'edema', elsewhere 'Edema'"):
        opened(HEADER, listed("Edema|Effusion", "Edema", "edema", "x"), findings="all")
    with pytest.raises(UsageError, match=r"none of 1, 0, -1 and blank: row 5 \('maybe'\)"):
        opened(COLUMNS, [*rows[:3], ("3.png", "p3", "maybe", 1, 0)], findings="Effusion")
    with pytest.raises(UsageError, match="featx benchmark --findings"):
        opened(HEADER, listed("Edema|Effusion", "Edema", "x", "x"))
    with pytest.raises(UsageError, match="leave out --findings or --positive"):
        opened(HEADER, rows, findings="all", positive="Edema")
