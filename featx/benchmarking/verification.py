"""Verification of a results folder: figures, tables and page made again and compared."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from featx import __version__
from featx.benchmarking.finding_rows import average_rows
from featx.benchmarking.note_rules import curve_notes, row_notes, shift_notes
from featx.benchmarking.recomputation import FinishedResults, Recomputation, plain_row
from featx.benchmarking.refits import CURVE_PROPORTIONS
from featx.benchmarking.run_images import record_again
from featx.benchmarking.table import BenchmarkTable
from featx.reporting.page import PAGE, render_results
from featx.reporting.records import BenchmarkRow, current_names
from featx.reporting.results_folder import (
    FINDINGS,
    GROUPS,
    Results,
    damaged,
    part_folders,
    read_json,
    read_results,
)
from featx.reporting.table_formats import to_csv
from featx.runtime.kinds import expect
from featx.runtime.serialization import plain_json

# Other processors and libraries round otherwise.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12

_SHOWN = 20

# Notes on images and runs, which rows do not tell.
_OTHER_NOTES = {"unfinished", "synthetic", "split", "confidence", "leak", "finding", "subgroups"}
_OTHER_NOTES |= {"typicality", "externals-left-out"}


@dataclass(frozen=True)
class Mismatch:
    """Hold one value of a results folder that differs from the one made again.

    Parameters
    ----------
    field : str
        File and place in it, such as ``results.json/vgg16-svm/auc_low``.
    stored, expected : object
        Value in the folder and value made again; None where there is none. Digests of files.
    """

    field: str
    stored: Any
    expected: Any


@dataclass(frozen=True)
class Verification:
    """Hold what `verify` found.

    Parameters
    ----------
    folder : str
        The results folder.
    mismatches : tuple of Mismatch
        Values that differ; empty if none does.
    unchecked : tuple of str
        What could not be checked, with the reason.
    n_checked : int
        Number of values and files compared.
    evaluations : int
        Least number of times that models were evaluated on the test set of this folder.
    """

    folder: str
    mismatches: tuple[Mismatch, ...]
    unchecked: tuple[str, ...]
    n_checked: int
    evaluations: int

    def __repr__(self) -> str:
        return f"Verification({len(self.mismatches):,} of {self.n_checked:,} values differ)"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return texts of mismatches (of each file the first 20), and of what was done."""
        files: dict[str, list[str]] = {}
        for each in self.mismatches:
            text = f"{each.field}: stored {each.stored!r}, recomputed {each.expected!r}"
            files.setdefault(each.field.partition("/")[0], []).append(text)
        found = []
        for name, texts in files.items():
            more = len(texts) - _SHOWN
            found += texts[:_SHOWN] + ([f"{name}: {more:,} more"] if more > 0 else [])
        return [
            *found,
            *(f"Not checked: {each}" for each in self.unchecked),
            f"The test set was evaluated at least {self.evaluations:,} times in this folder.",
            f"{len(self.mismatches):,} of {self.n_checked:,} values differ.",
        ]


def verify(
    folder: str | Path,
    images: Any = None,
    externals: Mapping[str, Any] | None = None,
    *,
    hash_patients: str | None = None,
    root: str | None = None,
    external_root: Mapping[str, str] | None = None,
) -> Verification:
    """Check a finished benchmark against its own predictions and records.

    Figures are computed again from ``scores/*.csv``; what these cannot give (thresholds, costs) is
    compared with the finished rows in ``rows/``; notes, tables and page are made again. Models and
    scores are compared with the digests in ``rows/``, and `images` with the run's record of them.
    It does not prevent changes, nor find scores, rows and results that were changed together.

    Parameters
    ----------
    folder : path-like
        Folder that `featx.benchmark` or ``featx benchmark --out`` wrote, of any version.
    images, externals, hash_patients, root, external_root : optional
        The images of the run as `benchmark` took them; rules for them are those of the run, which
        records no absolute `root`.

    Returns
    -------
    Verification

    Raises
    ------
    UsageError
        If the folder holds no benchmark, or the images cannot be opened as the run did.
    FeatxError
        If a file cannot be read, because it was damaged or edited.

    Examples
    --------
    >>> featx.verify("results").mismatches  # doctest: +SKIP
    ()
    """
    folder = expect(folder, "results")
    check = _Check(Path(folder))
    with damaged(folder):
        results = check.run()
    if images is None:
        check.skip("images, their counts and audit in run.json", "the images were not given")
    else:
        again = record_again(
            results.settings, images, externals or {}, hash_patients, root, external_root
        )
        check.check_images(results, again)
    return Verification(
        str(folder),
        tuple(check.mismatches),
        tuple(dict.fromkeys(check.unchecked)),
        check.n_checked,
        check.evaluations,
    )


@dataclass
class _Check:
    """Check of one folder, and of those of its findings or groups."""

    folder: Path
    prefix: str = ""
    mismatches: list[Mismatch] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    n_checked: int = 0
    evaluations: int = 0

    def run(self) -> Results:
        """Check everything; return the results with the values made again."""
        results = read_results(self.folder)
        finished = FinishedResults.read(self.folder)
        self.check_files(finished)
        parts = {
            name: self._part(path)
            for kind in (FINDINGS, GROUPS)
            for name, path in part_folders(self.folder, results.run, kind).items()
        }
        if parts:
            expected = self._averages(results, parts)
        else:
            again = Recomputation(results, finished)
            expected = again.rows()
            self.unchecked += [self.prefix + each for each in again.unchecked]
            self.mismatches += [Mismatch(self.prefix + p, text, None) for p, text in again.errors]
            self._check_curves(results, finished)
            self.evaluations += max(finished.evaluations, len(results.rows))
        results = replace(results, rows=self._check_rows(results, expected, finished))
        if not results.run.get("finished"):
            self.skip("whether rows are missing", "the run is not finished")
        self.check_notes(results, of_rows=not parts)
        self.check_tables(results)
        self.check_page(results)
        return results

    def _part(self, path: Path) -> Results:
        part = _Check(path, f"{self.prefix}{path.parent.name}/{path.name}/")
        results = part.run()
        self.mismatches += part.mismatches
        self.unchecked += part.unchecked
        self.n_checked += part.n_checked
        self.evaluations += part.evaluations
        return results

    def skip(self, what: str, reason: str) -> None:
        """Note what cannot be checked."""
        self.unchecked.append(f"{self.prefix}{what}: {reason}")

    def compare(self, place: str, stored: Any, expected: Any, absent: Collection[str] = ()) -> Any:
        """Note differing values; return the expected ones, as stored where they agree."""
        if isinstance(stored, dict) and isinstance(expected, dict):
            names = [n for n in {**stored, **expected} if n in stored or n not in absent]
            pairs = {n: (stored.get(n), expected.get(n)) for n in names}
            merged = {n: self.compare(f"{place}/{n}", *p, absent) for n, p in pairs.items()}
            return {n: value for n, value in merged.items() if n in expected}
        if isinstance(stored, list) and isinstance(expected, list):
            both = enumerate(zip_longest(stored, expected))
            found = [self.compare(f"{place}/{n}", *pair, absent) for n, pair in both]
            return found[: len(expected)]
        self.n_checked += 1
        numbers = all(isinstance(each, int | float) for each in (stored, expected))
        if stored == expected or (
            numbers and math.isclose(stored, expected, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
        ):
            return stored
        self.mismatches.append(Mismatch(self.prefix + place, stored, expected))
        return expected

    def check_files(self, finished: FinishedResults) -> None:
        """Compare models and scores with the digests of finished rows."""
        for name, found, recorded in finished.files(self.folder):
            if found is None:
                self.skip(name, "the file is not here")
            else:
                self.compare(name, found, recorded)
        for path in sorted(self.folder.glob("scores/*.csv")):
            if f"scores/{path.name}" not in finished.digests:
                self.skip(f"scores/{path.name}", "no digest is recorded")

    def _averages(self, results: Results, parts: Mapping[str, Results]) -> list[BenchmarkRow]:
        column = results.settings.get("leave_group_out")
        n_train = None if column else max((row.n_train for row in results.rows), default=0)
        try:
            return average_rows(parts, n_train, column)
        except KeyError:
            self.skip("averages", "scores of a finding or group are missing")
            return list(results.rows)

    def _check_curves(self, results: Results, finished: FinishedResults) -> None:
        """Compare learning curve and internal shifts with finished results."""
        rows = {row.name: row for row in results.rows}
        for what in ("learning_curve", "internal_shifts"):
            stored = results.run.get(what, [])
            row = rows.get(stored[0]["name"]) if stored else None
            if row is None:
                continue
            if what == "learning_curve":
                inputs: list[dict[str, Any]] = [{"curve": each} for each in CURVE_PROPORTIONS]
            else:
                inputs = [{"shift": [each["by"], each["chosen"]]} for each in stored]
            found = finished.values(finished.find(row.name, plain_row(row))[0], "point", inputs)
            expected = [each for each in found if each is not None]
            if what == "internal_shifts":
                known = [{n: each[n] for n in ("name", "by", "chosen")} for each in stored]
                expected = [a | b for a, b in zip(known, expected, strict=False)]
            if found:
                self.compare(f"run.json/{what}", stored, expected)
            else:
                self.skip(what, "no finished results")

    def _check_rows(
        self, results: Results, expected: Sequence[BenchmarkRow], finished: FinishedResults
    ) -> list[BenchmarkRow]:
        """Compare rows; return them with the values made again."""
        known, made = {row.name: row for row in expected}, []
        contents = read_json(self.folder / "results.json") or []
        for raw, row in zip(contents, results.rows, strict=True):
            again = known.get(row.name, row)
            values = plain_row(again)
            # Fields that the version of the run did not write.
            own = {*plain_row(_without_additions(again))}
            absent = own - {*raw} - {*finished.find(row.name, raw)[1]}
            stored = {**raw, "settings": current_names(raw.get("settings", {}))}
            merged = self.compare(f"results.json/{row.name}", stored, values, absent)
            made.append(BenchmarkRow.from_dict(merged))
        if results.run.get("finished"):
            for name in finished.missing({row.name for row in results.rows}):
                self.compare(f"results.json/{name}", None, "a finished row")
        return made

    def check_notes(self, results: Results, *, of_rows: bool) -> None:
        """Compare the notes with their records, and those on rows with the rows made again."""
        records = results.run.get("note_records")
        if records is None:
            self.skip("notes", "an earlier version kept their texts only")
            return
        texts = [note.text for note in results.notes]
        self.compare("run.json/notes", list(results.run.get("notes", [])), texts)
        if of_rows:
            run = results.run
            made = [
                *curve_notes(run.get("learning_curve", [])),
                *shift_notes(run.get("internal_shifts", [])),
                *row_notes(results.rows),
            ]
            stored = [each for each in records if each["kind"] not in _OTHER_NOTES]
            again = json.loads(plain_json([note.to_dict() for note in made]))
            self.compare("run.json/note_records", stored, again)

    def check_images(self, results: Results, made: Mapping[str, Any]) -> None:
        """Compare what is recorded of the images with what was found in them again."""
        for name, found in made.items():
            if name in results.run:
                self.compare(f"run.json/{name}", _unplaced(results.run[name]), _unplaced(found))
            else:
                self.skip(f"{name} of the images", "an earlier version did not record them")

    def check_tables(self, results: Results) -> None:
        """Compare the tables with those of the rows made again, cell by cell."""
        table = BenchmarkTable(results.rows, results.notes, dict(results.run))
        for name, text in (("table.md", table.to_markdown()), ("table.csv", to_csv(results.rows))):
            path = self.folder / name
            if not path.is_file():
                self.skip(name, "the file is not here")
                continue
            made = text if isinstance(text, str) else text.decode("utf-8", "replace")
            stored = path.read_bytes().decode("utf-8", "replace")
            self._compare_cells(name, _cells(name, stored), _cells(name, made))

    def _compare_cells(self, name: str, stored: list[list[str]], made: list[list[str]]) -> None:
        if stored[:1] != made[:1]:
            self.skip(name, "another version of featx wrote other columns")
            return
        empty: list[str] = []
        for number, (one, other) in enumerate(zip_longest(stored, made, fillvalue=empty)):
            for column, cells in enumerate(zip_longest(one, other)):
                title = made[0][column] if column < len(made[0]) else str(column)
                self.compare(f"{name}/line {number + 1}/{title}", *cells)

    def check_page(self, results: Results) -> None:
        """Compare the page with the one of the rows made again, word by word."""
        path = self.folder / PAGE
        if not path.is_file():
            self.skip(PAGE, "the file is not here")
            return
        made = render_results(results).encode("utf-8", "replace").decode().split("\n")
        stored = path.read_bytes().decode("utf-8", "replace").split("\n")
        texts = [re.sub(r"\d+", "0", "\n".join(lines)) for lines in (stored, made)]
        if texts[0] != texts[1] and results.run.get("versions", {}).get("featx") != __version__:
            self.skip(PAGE, "another version of featx wrote it")
        elif len(stored) != len(made):
            self.compare(f"{PAGE}/number of lines", len(stored), len(made))
        else:
            for number, pair in enumerate(zip(stored, made, strict=True), 1):
                words = map(_words, pair) if pair[0] != pair[1] else ([""], [""])
                for each in zip_longest(*words):
                    self.compare(f"{PAGE}/line {number}", *each)


def _without_additions(row: BenchmarkRow) -> BenchmarkRow:
    """Return a row without what is added to finished rows."""
    scores = replace(row.scores, subgroups=())
    row = replace(row, scores=scores, externals={}, auc_seeds=(), robustness=())
    return replace(row, comparison=None, float32=None, columns_alone=None)


def _words(line: str) -> list[str]:
    return re.findall(r"[^\s<>=\"',;()]+|[<>=\"',;()]", line)


def _cells(name: str, text: str) -> list[list[str]]:
    if name.endswith(".csv"):
        # Lists that were read again are written with other brackets.
        plain = text.replace("(", "[").replace(",)", "]").replace(")", "]")
        return list(csv.reader(io.StringIO(plain, newline="")))
    lines: list[list[str]] = [re.split(r" ?(?<!\\)\| ?", line) for line in text.split("\n")]
    # Early versions wrote the line below the header without spaces.
    return [[] if line[1:2] == ["---"] else line for line in lines]


def _unplaced(value: Any) -> Any:
    """Return an inventory without the names of folders, which may have been moved."""
    if isinstance(value, dict):
        return {name: _unplaced(each) for name, each in value.items() if name != "where"}
    return value
