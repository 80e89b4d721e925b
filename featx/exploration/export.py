"""Features as files of other programs: Parquet, and NumPy with a table of rows beside it."""

from __future__ import annotations

import json
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np

from featx.errors import MissingExtraError, UsageError
from featx.features.matrix import FeatureMatrix
from featx.runtime.csv_text import write_csv
from featx.runtime.files import put_bytes

_FACTS = ("image", "view", "label", "patient", "split")


def export(
    matrix: FeatureMatrix | str | PathLike,
    out: str | PathLike,
    *,
    components: int | None = None,
    bits: int | None = None,
    share: bool = False,
) -> list[Path]:
    """Write features for other programs, and measure how well they identify patients.

    Parameters
    ----------
    matrix : FeatureMatrix or path-like
        Features, or their file.
    out : path-like
        ``FILE.parquet``: columns image, view, label, patient, split, and the features by name, with
        the recipes as metadata. ``FILE.npy``: the features alone, with these facts of each row in
        ``FILE.csv``.
    components : int, optional
        Number of principal components of the standardized features to write in their place.
    bits : int, optional
        Bits of each value, 1 to 16: it is rounded to the nearest of ``2**bits`` evenly spaced
        levels within 3 standard deviations around the mean of its column.
    share : bool, default=False
        Whether to write ``FILE.share.md`` and ``FILE.share.json``: rank-1 re-identification of
        patients, against chance, and the AUC of a logistic regression, of the features as they are
        and of combinations of components and bits. Written features are personal data in any case.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    UsageError
        If the file has another suffix, or components or bits are out of range; with `share`, if
        patients are unknown, or none has several images.
    MissingExtraError
        If pyarrow is not installed, for Parquet.
    """
    path = Path(out)
    if path.suffix not in (".parquet", ".npy"):
        raise UsageError(f"{path.name!r} has the suffix {path.suffix!r}; give .parquet or .npy")
    if not isinstance(matrix, FeatureMatrix):
        matrix = FeatureMatrix.load(Path(matrix))
    if components is None and bits is None and not share:
        return _write(matrix, path)
    # Fitting libraries load slowly.
    from featx.exploration.sharing import measure_sharing, protect

    measured = measure_sharing(matrix, components, bits) if share else None
    files = _write(protect(matrix, components, bits), path)
    return files if measured is None else [*files, *measured.save(path)]


def _write(matrix: FeatureMatrix, path: Path) -> list[Path]:
    image = matrix.image.tolist()
    names, splits = [matrix.names[i] for i in image], matrix.splits[matrix.image].tolist()
    # Where patients are unknown, an image's name stands in their place.
    known = matrix.patients_known
    patients = matrix.row_patients.tolist() if known else [""] * len(names)
    rows = [names, matrix.view.tolist(), matrix.y.tolist(), patients, splits]
    if path.suffix == ".npy":
        stream = BytesIO()
        np.save(stream, matrix.to_numpy(), allow_pickle=False)
        facts = path.with_suffix(".csv")
        put_bytes(facts, write_csv([_FACTS, *zip(*rows, strict=True)]))
        put_bytes(path, stream.getvalue())
        return [path, facts]
    put_bytes(path, _parquet(matrix, dict(zip(_FACTS, rows, strict=True))))
    return [path]


def _parquet(matrix: FeatureMatrix, facts: dict[str, list]) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("Parquet files", "featx[parquet]") from error
    # Parquet's texts are valid Unicode.
    facts = {
        name: [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values]
        for name, values in facts.items()
    }
    features = dict(zip(matrix.feature_names, matrix.to_numpy().T, strict=True))
    table = pyarrow.table({**facts, **features})
    recipes = json.dumps([dict(recipe) for recipe in matrix.recipes])
    stream = BytesIO()
    parquet.write_table(table.replace_schema_metadata({"featx_recipes": recipes}), stream)
    return stream.getvalue()
