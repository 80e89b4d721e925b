"""Tables written from a known truth: what opens is the truth, or an error names why."""

from __future__ import annotations

import csv
import io
import tempfile
import unicodedata
from pathlib import Path

from hypothesis import event, given
from hypothesis import strategies as st

from featx.datasets.dataset import ImageDataset
from tests.datasets.known_truth import (
    Written,
    cases_of,
    check,
    found_in,
    many_examples,
    truth_of,
    write_files,
)


def list_rows(written) -> None:
    for case in written.cases:
        path = f"{case.label}/{case.file}"
        written.files[path] = case.data
        written.rows.append(
            {"path": path, "label": case.label, "patient": case.patient, "split": case.split}
        )


def pad_cells(written, draw):
    pad = draw(st.sampled_from([" ", "\u00a0", "\t", "\u200b"]))
    for row in written.rows[::2]:
        for name in ("label", "patient", "split"):
            if row[name]:
                row[name] = f"{row[name]}{pad}"


def decompose_cells(written, _draw):
    for row in written.rows[::2]:
        row["label"] = unicodedata.normalize("NFD", row["label"])


def repeat_a_row(written, draw):
    written.rows.append(dict(draw(st.sampled_from(written.rows))))
    written.passed_over += 1


def respell_a_path(written, draw):
    row = draw(st.sampled_from(written.rows))
    written.rows.append({**row, "path": f"./{row['path']}"})
    written.passed_over += 1


def contradict_a_row(written, draw):
    row = draw(st.sampled_from([row for row in written.rows if row["path"] in written.files]))
    label = row["label"]
    other = next(each["label"] for each in written.rows if each["label"] != label)
    written.rows.append({**row, "label": other})
    written.refused.append((f"row {written.rows.index(row) + 2}", label, other))
    written.skipped.add(
        next(c.number for c in written.cases if c.data == written.files[row["path"]])
    )


def forget_a_label(written, draw):
    number = draw(st.integers(0, len(written.rows) - 1))
    written.rows[number]["label"] = draw(st.sampled_from(["", " ", "nan", "NA", "?"]))
    written.refused.append((str(number + 2), "label"))
    written.skipped.add(written.cases[number].number)


def forget_a_patient(written, draw):
    number = draw(st.integers(0, len(written.rows) - 1))
    written.rows[number]["patient"] = draw(st.sampled_from(["", " ", "nan"]))
    written.refused.append((str(number + 2), "patient"))
    written.skipped.add(written.cases[number].number)


def lose_a_file(written, draw):
    number = draw(st.integers(0, len(written.rows) - 1))
    del written.files[written.rows[number]["path"]]
    written.refused.append((written.rows[number]["path"].rpartition("/")[2], str(number + 2)))
    written.skipped.add(written.cases[number].number)


def invent_a_split(written, draw):
    number = draw(st.integers(0, len(written.rows) - 1))
    written.rows[number]["split"] = "quarantine"
    written.refused.append(("quarantine",))
    written.skipped.add(written.cases[number].number)


def spell_a_label_differently(written, draw):
    row = draw(st.sampled_from(written.rows))
    label = row["label"]
    other = draw(
        st.sampled_from([label.title(), label.swapcase(), label.replace(" ", "_"), f"{label}.0"])
    )
    if other == label or (other.endswith(".0") and not label.isdecimal()):
        return
    row["label"] = other
    written.refused.append((label, other))


def spell_a_patient_differently(written, draw):
    numbers = [
        number
        for number, row in enumerate(written.rows)
        if sum(row["patient"] == other["patient"] for other in written.rows) > 1
    ]
    if not numbers:
        return
    row = written.rows[draw(st.sampled_from(numbers))]
    other = row["patient"].upper()
    written.refused.append((row["patient"], other))
    row["patient"] = other


TABLE_DEVIATIONS = (
    pad_cells,
    decompose_cells,
    repeat_a_row,
    respell_a_path,
    contradict_a_row,
    forget_a_label,
    forget_a_patient,
    lose_a_file,
    invent_a_split,
    spell_a_label_differently,
    spell_a_patient_differently,
)
HEADERS = (
    {},
    {"path": "Filename", "label": "Finding", "patient": "PatientID", "split": "Set"},
    {"path": "Image Name", "label": "klass", "patient": "MRN", "split": "Partition"},
)


@st.composite
def tables(draw) -> tuple[Written, bytes, dict[str, str]]:
    written = Written(draw(cases_of()))
    list_rows(written)
    for deviate in draw(st.lists(st.sampled_from(TABLE_DEVIATIONS), unique=True, max_size=2)):
        deviate(written, draw)
        event(deviate.__name__)
    columns = draw(st.sampled_from(HEADERS))
    delimiter = draw(st.sampled_from(",;\t|"))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    names = draw(st.permutations(["path", "label", "patient", "split"]))
    index = draw(st.booleans())
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow([""] * index + [columns.get(name, name) for name in names])
    for number, row in enumerate(written.rows):
        writer.writerow([str(number)] * index + [row[name] for name in names])
    # Spreadsheets write rows of empty cells below a table, and editors blank lines.
    text.write(f"{delimiter * (len(names) - 1 + index)}{end}" * draw(st.integers(0, 2)))
    text.write(end * draw(st.integers(0, 2)))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return written, text.getvalue().encode(encoding), columns


@many_examples
@given(table=tables(), below=st.booleans())
def test_a_table_opens_as_the_truth_or_names_its_deviation(table, below):
    written, text, columns = table
    with tempfile.TemporaryDirectory() as scratch:
        root = write_files(written.files, Path(scratch), packed=False)
        path = (root if below else Path(scratch)) / "list.csv"
        path.write_bytes(text)
        options = {"columns": columns or None, "root": None if below else root}
        check(written, lambda: ImageDataset.open(path, **options))
        kept = [case for case in written.cases if case.number not in written.skipped]
        same_classes = {c.label for c in kept} == {c.label for c in written.cases}
        if 0 < len(written.skipped) == len(written.refused) and same_classes:
            images = ImageDataset.open(path, skip_problems=True, **options)
            assert found_in(images) == truth_of(kept)
