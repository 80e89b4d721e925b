"""Groups of images by a column: its values, or bands of its numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.datasets.rules import IN_HEADER
from featx.errors import UsageError, listed
from featx.metrics.subgroups import MISSING

Mask = npt.NDArray[np.bool_]

AGE_CUTS = (2.0, 12.0, 18.0, 40.0, 65.0)
"""Ages in years at which a band begins: those of ICH E11 and E7, and 40."""

# Numbers of more different values are put into bands.
_MOST_NUMBERS = 10
# More values than these are names, dates or remarks.
_MOST_GROUPS = 30
_OLDEST = 125.0

_AGE = re.compile(r"(?i)(^|[^a-z])age([^a-z]|$)|PatientAge|00101010")
_OTHER_UNIT = re.compile(r"(?i)month|week|day|group")


def parse_subgroups(given: str | Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Read ``sex,age:5,18,65``; return the cut points of each column, none where none are given.

    Examples
    --------
    >>> parse_subgroups("sex, age:5,18,65, dicom:ViewPosition")
    {'sex': (), 'age': (5.0, 18.0, 65.0), 'dicom:ViewPosition': ()}
    """
    items = (given if isinstance(given, str) else ",".join(map(str, given))).split(",")
    found: dict[str, tuple[float, ...]] = {}
    last = None
    for item in filter(None, map(str.strip, items)):
        name, _, first = item.rpartition(":")
        number = _number(first)
        if math.isfinite(number) and not name and last is not None and found[last]:
            found[last] += (number,)
            continue
        # A field of DICOM headers may be given by its digits.
        has_cut = name and f"{name}:" != IN_HEADER and math.isfinite(number)
        last = name if has_cut else item
        if last in found:
            raise UsageError(f"subgroups name the column {last!r} twice; name it once")
        found[last] = (number,) if last == name else ()
    for column, cuts in found.items():
        if list(cuts) != sorted(set(cuts)):
            shown = ",".join(f"{cut:g}" for cut in cuts)
            raise UsageError(f"the cut points {column}:{shown} do not ascend; order them")
    return found


def written(subgroups: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Write columns and cut points as `parse_subgroups` reads them.

    Examples
    --------
    >>> written({"sex": (), "age": (5.0, 18.0)})
    ('sex', 'age:5,18')
    """
    return tuple(
        f"{name}:{','.join(f'{cut:g}' for cut in cuts)}" if cuts else name
        for name, cuts in subgroups.items()
    )


def one_column(given: str) -> str:
    """Check one column with its cut points, as `parse_subgroups` reads it.

    Examples
    --------
    >>> one_column(" age:5,18")
    'age:5,18'
    """
    found = written(parse_subgroups(given))
    if len(found) != 1:
        raise UsageError(
            f"groups are left out by one column, and {given!r} names {len(found)}; give one, such "
            "as site or age:5,18"
        )
    return found[0]


@dataclass(frozen=True)
class Bands:
    """Divide images by a column: each value is a group, or bands begin at ascending cut points.

    By `rule` "given", "ages" or "quartiles" there are `cuts`, by "values" none.

    Examples
    --------
    >>> bands = Bands.of("age", [str(age) for age in range(90)])
    >>> [name for name in bands.masks(np.array(["3", "70", ""]))]
    ['2 to under 12', '65 and over', 'missing']
    """

    column: str
    rule: str = "values"
    cuts: tuple[float, ...] = ()

    @classmethod
    def of(cls, column: str, cells: Iterable[str], cuts: tuple[float, ...] = ()) -> Bands:
        """Choose groups by the values of training images.

        Numbers of more than ten different values are put into bands: ages in years (columns named
        age) at `AGE_CUTS`, all others, and ages that would be of one band, at their quartiles.
        """
        filled = [cell for cell in map(str, cells) if cell]
        numbers = np.array([_number(cell) for cell in filled])
        distinct = sorted({*filled})
        texts = [cell for cell in distinct if not math.isfinite(_number(cell))]
        if not filled:
            raise UsageError(
                f"the column {column!r} is empty for all training images; leave it out"
            )
        if cuts:
            if texts:
                raise UsageError(
                    f"the column {column!r} holds {listed(map(repr, texts), 5)}, and cut points "
                    "are for numbers; correct or empty these cells, or leave out the cut points"
                )
            return cls(column, "given", cuts)
        if not texts and len(distinct) > _MOST_NUMBERS:
            in_years = _AGE.search(column) and not _OTHER_UNIT.search(column)
            places = {*np.searchsorted(AGE_CUTS, numbers, side="right").tolist()}
            if in_years and numbers.min() >= 0 and numbers.max() < _OLDEST and len(places) > 1:
                return cls(column, "ages", AGE_CUTS)
            quartiles = np.quantile(numbers, [0.25, 0.5, 0.75], method="inverted_cdf").tolist()
            return cls(
                column, "quartiles", tuple(sorted({q for q in quartiles if q > numbers.min()}))
            )
        if len(distinct) > _MOST_GROUPS:
            some = listed(map(repr, texts), 5)
            raise UsageError(
                f"the column {column!r} holds {len(distinct):,} different values ({some}), too "
                f"many for groups (at most {_MOST_GROUPS}); join some, or correct texts among "
                "numbers"
            )
        return cls(column)

    def masks(self, cells: npt.NDArray[np.str_]) -> dict[str, Mask]:
        """Return which images are in each group that has any, those without a value last."""
        filled = [cell for cell in cells.tolist() if cell]
        groups = np.array(cells, dtype=object)
        if self.cuts:
            texts = [cell for cell in dict.fromkeys(filled) if not math.isfinite(_number(cell))]
            if texts:
                raise UsageError(
                    f"the column {self.column!r} holds {listed(map(repr, texts), 5)}, not numbers; "
                    "correct or empty these cells"
                )
            known = groups != ""
            places = np.searchsorted(self.cuts, groups[known].astype(np.float64), side="right")
            groups[known] = [self.names[place] for place in places]
            order: Sequence[str] = self.names
        else:
            order = sorted({*filled} - {MISSING}, key=_in_order)
        groups[groups == ""] = MISSING
        found = {name: np.asarray(groups == name, dtype=bool) for name in (*order, MISSING)}
        return {name: mask for name, mask in found.items() if mask.any()}

    @property
    def text(self) -> str:
        """How images are divided, in words."""
        if not self.cuts:
            return f"Subgroups by {self.column}: its values."
        rules = {"given": "as given", "ages": "of ages", "quartiles": "at quartiles"}
        return f"Subgroups by {self.column}, bands {rules[self.rule]}: {', '.join(self.names)}."

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bands; empty where each value is a group."""
        if not self.cuts:
            return ()
        cuts = [f"{cut:g}" for cut in self.cuts]
        between = (f"{low} to under {high}" for low, high in pairwise(cuts))
        return (f"under {cuts[0]}", *between, f"{cuts[-1]} and over")


def divide(subgroups: str | Sequence[str], images: ImageDataset) -> list[Bands]:
    """Choose the groups of each column by the values of images."""
    wanted = parse_subgroups(subgroups)
    missing = [name for name in wanted if name not in images.columns]
    if missing:
        raise UsageError(
            f"the images have no column {', '.join(map(repr, missing))} to divide them by; list "
            "them in a table that has it, or name a column or a field of DICOM headers by "
            f"--columns {missing[0]}=COLUMN or {missing[0]}=dicom:KEYWORD"
        )
    return [Bands.of(name, images.columns[name], cuts) for name, cuts in wanted.items()]


def masks_of(
    bands: Iterable[Bands], images: ImageDataset, names: Sequence[str]
) -> dict[str, dict[str, Mask]]:
    """Return which of some images, by name, are in which group, for the columns that there are."""
    columns = images.columns_of(names) if images.columns else {}
    known = [each for each in bands if each.column in columns]
    return {each.column: each.masks(columns[each.column]) for each in known}


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _in_order(value: str) -> tuple[float, str]:
    """Sort numbers by value, before texts."""
    number = _number(value)
    return (number if math.isfinite(number) else math.inf, value)
