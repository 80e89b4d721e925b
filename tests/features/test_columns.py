"""Columns of a table as features: amounts, categories, and what is refused."""

import numpy as np
import pytest

from featx.errors import UsageError
from featx.features.columns import columns_recipe, encode_columns, parse_covariates


def recipe_of(name="x", kind="", cells=()):
    return columns_recipe({name: kind}, {name: np.array(cells)})


def test_covariates_are_names_with_or_without_a_kind():
    given = parse_covariates("age, site=category,Age at exam")
    assert given == {"age": "", "site": "category", "Age at exam": ""}
    assert parse_covariates(["age=number"]) == {"age": "number"}
    with pytest.raises(UsageError, match="categry"):
        parse_covariates("site=categry")


@pytest.mark.parametrize(
    ("cells", "kind", "categories"),
    [
        (["61", "", "61.5", "7"], "", None),
        (["0", "1", "", "1"], "", None),
        (["M", "", "F"], "", ["F", "M"]),
        (["1", "2", "3"], "category", ["1", "2", "3"]),
        (["1", "2", "3"], "number", None),
        (["61", "90+"], "category", ["61", "90+"]),
    ],
)
def test_kind_of_a_column(cells, kind, categories):
    (entry,) = recipe_of(kind=kind, cells=cells)["columns"]
    assert entry.get("categories") == categories


@pytest.mark.parametrize(
    ("cells", "kind", "problem"),
    [
        (["", ""], "", "empty for all training images"),
        (["1", "2", "3"], "", "amounts or codes; say which: x=number or x=category"),
        (["61", "90+"], "", r"numbers and texts \('90\+'\)"),
        (["61,5", "7"], "number", "decimals have a point"),
        (["inf", "7"], "number", "'inf'"),
        ([f"name {n}" for n in range(31)], "", "31 different texts"),
    ],
)
def test_ambiguous_columns_are_refused(cells, kind, problem):
    with pytest.raises(UsageError, match=problem):
        recipe_of(kind=kind, cells=cells)


def test_missing_and_unknown_values_differ(caplog):
    recipe = recipe_of(cells=["F", "M"])
    codes = encode_columns(recipe, {"x": np.array(["M", "", "D", "F"])})[:, 0]
    assert codes[[0, 2, 3]].tolist() == [1, 2, 0] and np.isnan(codes[1])
    assert "holds 'D', and training images F, M: these count as none" in caplog.text
    with pytest.raises(UsageError, match="same categories under the same names"):
        encode_columns(recipe, {"x": np.array(["Male", "", "Female"])})
    with pytest.raises(UsageError, match="'old', not numbers"):
        encode_columns(recipe_of(cells=["61", "62.5"]), {"x": np.array(["old", "3"])})
    with pytest.raises(UsageError, match="no column 'x'"):
        encode_columns(recipe, {"y": np.array(["M"])})
