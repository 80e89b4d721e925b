"""Whose image it is, read from file names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError

__all__ = ["PRESETS", "patients_from_names"]


def _kermany(name: str) -> str | None:
    """Patient of an image of Kermany et al. 2018 (doi 10.17632/rscbjbr9sj.2).

    ``person12_bacteria_47.jpeg`` and ``person12_virus_48.jpeg`` are one patient, and so are
    ``IM-0129-0001.jpeg`` and ``NORMAL2-IM-0129-0001.jpeg``. The test folder numbers its patients
    from 1 again; they are others, as its authors say.
    """
    found = re.search(r"(?:^|[/_-])(person\d+|IM-\d+)[_-][^/]*$", name)
    if found is None:
        return None
    in_test = re.search(r"(?:^|/)test/", name) is not None
    return f"test-{found[1]}" if in_test else found[1]


PRESETS: dict[str, Callable[[str], str | None]] = {"kermany": _kermany}


def patients_from_names(names: Sequence[str], rule: str) -> npt.NDArray[np.str_]:
    r"""Read each image's patient from its name.

    Parameters
    ----------
    names : sequence of str, length n_images
        Paths relative to the data set's root.
    rule : str
        A preset (see `PRESETS`), or a regular expression with one group, which is the patient.

    Returns
    -------
    ndarray of str, shape (n_images,)

    Raises
    ------
    UsageError
        If the rule is no preset and no such expression, or does not fit every name.

    Examples
    --------
    >>> patients_from_names(["a/p01_x.png", "b/p02_y.png"], r"(p\d+)_").tolist()
    ['p01', 'p02']
    """
    find = PRESETS.get(rule) or _by_pattern(rule)
    patients = [find(name) for name in names]
    misses = [name for name, patient in zip(names, patients, strict=True) if patient is None]
    if misses:
        raise UsageError(
            f"the patient rule {rule!r} does not fit {len(misses):,} of {len(names):,} images, "
            f"{misses[0]!r} for one; give --patients another regular expression, or a CSV file "
            "with a column `patient`"
        )
    return np.array(patients, dtype=np.str_)


def _by_pattern(rule: str) -> Callable[[str], str | None]:
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UsageError(f"the patient rule {rule!r} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise UsageError(
            f"the patient rule {rule!r} is neither a preset ({', '.join(PRESETS)}) nor a regular "
            r"expression with one group that is the patient, such as '(person\d+)_'"
        )

    def find(name: str) -> str | None:
        found = pattern.search(name)
        return found[1] if found else None

    return find
