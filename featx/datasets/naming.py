"""What file names tell: by a preset, or by a regular expression with one group."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from featx.errors import UsageError

__all__ = ["NamePreset", "read_names"]

NamePreset = Callable[[str], str | None]


def read_names(
    what: str,
    names: Sequence[str],
    rule: str,
    presets: Mapping[str, NamePreset],
    others: Sequence[str] = (),
) -> list[str]:
    r"""Read something from each image's name.

    Examples
    --------
    >>> read_names("label", ["a_sick.png", "b_well.png"], r"_(\w+)\.png", {})
    ['sick', 'well']
    """
    find = presets.get(rule) or _rule_by_pattern(what, rule, [*presets, *others])
    values = [find(name) or "" for name in names]
    misses = [name for name, value in zip(names, values, strict=True) if not value]
    if misses:
        raise UsageError(
            f"the {what} rule {rule!r} does not fit {len(misses):,} of {len(names):,} images, "
            f"{misses[0]!r} for one; give --{what}s another regular expression, or a table with a "
            f"column `{what}`"
        )
    return values


def _rule_by_pattern(what: str, rule: str, presets: Iterable[str]) -> NamePreset:
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UsageError(f"the {what} rule {rule!r} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise UsageError(
            f"the {what} rule {rule!r} is neither a preset ({', '.join(presets)}) nor a regular "
            rf"expression with one group that is the {what}, such as '(person\d+)_'"
        )

    def find(name: str) -> str | None:
        found = pattern.search(name)
        return found[1] if found else None

    return find
