import numpy as np
import pytest

from featx.datasets.bands import AGE_CUTS, Bands, parse_subgroups
from featx.errors import UsageError


def test_cut_points_belong_to_the_column_before_them():
    assert parse_subgroups(["sex", "age:5", "18", "", "site"]) == {
        "sex": (), "age": (5.0, 18.0), "site": ()
    }  # fmt: skip
    assert parse_subgroups("dicom:PatientAge:40,dicom:00185101") == {
        "dicom:PatientAge": (40.0,), "dicom:00185101": ()
    }  # fmt: skip
    for given, message in (("age:18,5", "do not ascend"), ("sex,sex", "twice")):
        with pytest.raises(UsageError, match=message):
            parse_subgroups(given)


@pytest.mark.parametrize(
    ("column", "cells", "rule", "cuts"),
    [
        ("sex", ["M", "F", ""], "values", ()),
        ("grade", [str(n) for n in range(10)], "values", ()),
        ("Patient Age", [str(n) for n in range(1, 90)], "ages", AGE_CUTS),
        ("dicom:PatientAge", [str(n / 2) for n in range(60)], "ages", AGE_CUTS),
        ("age", [f"{30 + n / 10}" for n in range(41)], "quartiles", (31.0, 32.0, 33.0)),
        ("age_months", [str(n) for n in range(101)], "quartiles", (25, 50, 75)),
        ("stage", [str(n) for n in range(101)], "quartiles", (25, 50, 75)),
        ("dose", ["0"] * 60 + [str(n) for n in range(1, 41)], "quartiles", (15,)),
    ],
)
def test_numbers_of_many_values_go_into_bands(column, cells, rule, cuts):
    bands = Bands.of(column, cells)
    assert (bands.rule, bands.cuts) == (rule, cuts)
    masks = bands.masks(np.array(cells))
    assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()


def test_bands_include_their_lower_cut_point_and_missing_values_are_a_group():
    masks = Bands("age", "given", (5.0, 18.0)).masks(np.array(["4.9", "5", "", "17", "18"]))
    assert {name: mask.nonzero()[0].tolist() for name, mask in masks.items()} == {
        "under 5": [0], "5 to under 18": [1, 3], "18 and over": [4], "missing": [2]
    }  # fmt: skip
    codes = Bands("grade").masks(np.array(["10", "2", "", "x"]))
    assert list(codes) == ["2", "10", "x", "missing"]


def test_columns_that_cannot_divide_are_refused():
    for cells, cuts, message in (
        ([""], (), "is empty for all training images"),
        (["4", "old"], (5.0,), "holds 'old', and cut points are for numbers"),
        ([f"p{n}" for n in range(31)], (), "31 different values"),
    ):
        with pytest.raises(UsageError, match=message):
            Bands.of("x", cells, cuts)
    with pytest.raises(UsageError, match="holds 'old', not numbers"):
        Bands("age", "given", (5.0,)).masks(np.array(["3", "old"]))
