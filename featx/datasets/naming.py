"""Patients and labels read from file names: by a preset, or by a regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from featx.errors import UsageError
from featx.runtime.kinds import shown

_NameRule = Callable[[str], str | None]


def _kermany(name: str) -> str | None:
    """Patient of an image of Kermany et al. 2018 (doi 10.17632/rscbjbr9sj.2)."""
    found = re.search(r"(?:^|[/_-])(person\d+|IM-\d+)[_-][^/]*$", name)
    if found is None:
        return None
    in_test = re.search(r"(?:^|/)test/", name) is not None
    return f"test-{found[1]}" if in_test else found[1]


def _kermany_subtype(name: str) -> str | None:
    """Bacterial or viral pneumonia, or normal, in the names of Kermany et al. 2018.

    ``person12_bacteria_47.jpeg``, ``person12_virus_48.jpeg`` and ``NORMAL2-IM-0129-0001.jpeg``;
    in the authors' own archive also ``BACTERIA-30629-0001.jpeg`` and ``NORMAL-28501-0001.jpeg``.
    """
    file = name.rpartition("/")[2].lower()
    found = re.match(r"(?:person\d+_)?(bacteria|virus)[_-]", file)
    if found:
        return found[1]
    return "normal" if re.match(r"(?:normal2?-)?(?:im-)?\d+-", file) else None


_PRESETS: dict[str, dict[str, _NameRule]] = {
    "patient": {"kermany": _kermany},
    "label": {"kermany-subtype": _kermany_subtype},
}
# "dicom" is read from files, not from names.
_KNOWN = {"patient": "kermany, dicom", "label": "kermany-subtype"}


def from_names(
    what: Literal["patient", "label"], names: Sequence[str], rule: str, remedy: str = ""
) -> list[str]:
    r"""Read each image's patient or class from its name.

    Examples
    --------
    >>> from_names("patient", ["a/p01_x.png", "b/p02_y.png"], r"(p\d+)_")
    ['p01', 'p02']
    >>> from_names("label", ["person1_virus_6.jpeg", "IM-0115-0001.jpeg"], "kermany-subtype")
    ['virus', 'normal']
    """
    find = _PRESETS[what].get(rule.lower()) or _compile(what, rule)
    values = [find(name) or "" for name in names]
    unmatched = [name for name, value in zip(names, values, strict=True) if not value]
    if unmatched:
        raise UsageError(
            f"the {what} rule {rule!r} does not fit {len(unmatched):,} of {len(names):,} images, "
            f"{unmatched[0]!r} for one; give {remedy or f'--{what}s another regular expression'}, "
            f"or a table with a column `{what}`"
        )
    return values


def _compile(what: str, rule: str) -> _NameRule:
    try:
        pattern = re.compile(rule)
    except (re.error, RecursionError, OverflowError) as error:
        # Of thousands of nested groups, Python runs out of stack.
        raise UsageError(
            f"the {what} rule {shown(rule)!r} is not a regular expression: {error}"
        ) from error
    if pattern.groups != 1:
        raise UsageError(
            f"the {what} rule {shown(rule)!r} is neither a preset ({_KNOWN[what]}) nor a regular "
            rf"expression with one group for the {what}, such as '(person\d+)_'"
        )

    def find(name: str) -> str | None:
        found = pattern.search(name)
        return found[1] if found else None

    return find
