"""Problems of a table's rows, in one list with the way out."""

from __future__ import annotations

import csv
import io
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from featx.datasets.inventory import PassedOver
from featx.errors import UsageError, printable
from featx.runtime.kinds import shown

_MOST_ROWS = 10

# Options that an external set has for itself.
_OF_EXTERNALS = ("columns", "root")


@dataclass
class RowReport:
    """Collects what is wrong with a table, and the options that answer it."""

    where: str
    rows: list[str]
    # By kind, then by place of the row; the text is its example.
    problems: dict[str, dict[int, str]] = field(default_factory=dict)
    # Rows that are left out without being wrong, by reason.
    dropped: dict[str, list[int]] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, place: int, text: str = "") -> None:
        """Note a problem of a row."""
        self.problems.setdefault(kind, {})[place] = shown(text)

    def note_spelling(
        self, what: str, rows: Iterable[Sequence[str]], groups: Iterable[tuple[str, ...]]
    ) -> None:
        """Note the rows with a value that more rows write in another way."""
        values = list(rows)
        counts = Counter(name for each in values for name in each)
        instead: dict[str, str] = {}
        for group in groups:
            usual = max(group, key=lambda name: counts[name])
            instead |= {name: usual for name in group if name != usual}
        for place, each in enumerate(values):
            for name in instead.keys() & each:
                text = f"{name!r}, elsewhere {instead[name]!r}"
                self.add(f"whose {what} is spelled in two ways", place, text)

    def drop(self, reason: str, places: Iterable[int]) -> None:
        """Leave rows out that are no mistake."""
        places = list(places)
        if places:
            self.dropped.setdefault(reason, []).extend(places)

    def ask(self, question: str, **options: Any) -> None:
        """Ask for a decision, with options that answer it."""
        self.questions.append(question)
        self.options |= options

    @property
    def bad(self) -> set[int]:
        """Places of the rows with problems."""
        return {place for places in self.problems.values() for place in places}

    def check(self, skip_problems: bool, external: str = "") -> None:
        """Raise everything as one error, unless it is only rows to be left out."""
        bad = self.bad
        if not self.questions and (skip_problems or not bad):
            return
        some = 0 < len(bad) < len(self.rows)
        options = self.options | ({"skip_problems": True} if some or skip_problems else {})
        lines = list(self.questions)
        if bad:
            have = "has" if len(bad) == 1 else "have"
            lines.append(f"{len(bad):,} of its {len(self.rows):,} rows {have} problems:")
            lines += [f"  {self._line(kind, places)}" for kind, places in self.problems.items()]
        lines += self.hints
        if some:
            lines.append("Correct these rows, or leave them out by --skip-problems.")
        if options:
            lines.append(f"To continue, add\n  {as_options(options, external)}")
            lines.append(f"In Python: {as_keywords(options, external)}")
        raise UsageError(f"{self.where}: " + "\n".join(lines))

    def passed_over(self) -> list[PassedOver]:
        """Return the rows that are left out, by kind."""
        counted: set[int] = set()
        found = []
        for kind, places in [*self.problems.items(), *self.dropped.items()]:
            # A row with several problems counts once, so that the numbers add up.
            own = [place for place in places if place not in counted]
            counted.update(own)
            if own:
                found.append(PassedOver.of(kind, [f"row {self.rows[i]}" for i in own], "rows"))
        return found

    def _line(self, kind: str, places: dict[int, str]) -> str:
        by_text: dict[str, list[str]] = {}
        for place, text in [*places.items()][:_MOST_ROWS]:
            by_text.setdefault(text, []).append(self.rows[place])
        examples = "; ".join(
            f"{'rows' if len(rows) > 1 else 'row'} {', '.join(rows)}{f' ({text})' if text else ''}"
            for text, rows in by_text.items()
        )
        more = f"; and {len(places) - _MOST_ROWS:,} more" if len(places) > _MOST_ROWS else ""
        return printable(f"{len(places):,} {kind}: {examples}{more}")


def as_options(options: dict[str, Any], external: str = "") -> str:
    """Write options as one pastes them into a shell; an external set has some of its own."""
    parts = []
    for name, value in options.items():
        if isinstance(value, dict):
            line = io.StringIO()
            csv.writer(line, lineterminator="").writerow([f"{k}={v}" for k, v in value.items()])
            value = line.getvalue()
        own = external and name in _OF_EXTERNALS
        parts.append(f"--{'external-' if own else ''}{name.replace('_', '-')}")
        if value is not True:
            parts.append(shlex.quote(f"{external}={value}" if own else str(value)))
    return " ".join(parts)


def as_keywords(options: dict[str, Any], external: str = "") -> str:
    """Write options as keyword arguments."""
    plain = {n: v if isinstance(v, bool | dict) else str(v) for n, v in options.items()}
    if external:
        plain = {
            f"external_{n}" if n in _OF_EXTERNALS else n: {external: v} if n in _OF_EXTERNALS else v
            for n, v in plain.items()
        }
    return ", ".join(f"{name}={value!r}" for name, value in plain.items())
