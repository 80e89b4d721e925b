"""The result of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.benchmarking import published
from featx.report.notes import Note
from featx.report.page import table_to_html
from featx.report.records import BenchmarkRow
from featx.report.tables import to_csv, to_markdown
from featx.runtime.files import put_bytes
from featx.runtime.serialization import plain_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BenchmarkTable"]


@dataclass
class BenchmarkTable:
    """Rows of a benchmark, one a model, with what must stand below them.

    Parameters
    ----------
    rows : list of dict
        Plain values; see the README for the fields.
    notes : list of str
        Sentences for the foot of the table.
    run : dict
        What ``run.json`` holds: command, versions, settings, flow of images, audit, learning
        curve, published figures; empty where there is none.

    Examples
    --------
    >>> table = BenchmarkTable([], ["Trained on nothing."])
    >>> print(table.to_markdown().splitlines()[-1])
    Trained on nothing.
    """

    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def _repr_html_(self) -> str:
        notes = [Note("text", {"text": note}) for note in self.notes]
        return table_to_html(self._records(), notes)

    def _records(self) -> list[BenchmarkRow]:
        return [BenchmarkRow.from_dict(row) for row in self.rows]

    def to_markdown(self) -> str:
        """Return the table, its notes and published figures as Markdown."""
        parts = [to_markdown(self._records()).rstrip("\n"), *self.notes]
        if self.run.get("published"):
            parts.append(published.to_markdown(self.run["published"]))
        return "\n\n".join(parts) + "\n"

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            from featx.errors import MissingExtraError

            raise MissingExtraError("a data frame", "pandas") from error
        return pd.DataFrame(self.rows)

    def save(self, folder: str | Path) -> None:
        """Write ``results.json``, ``run.json``, ``table.md`` and ``table.csv``.

        Parameters
        ----------
        folder : path-like
            Made if it is missing.
        """
        folder = Path(folder)
        put_bytes(folder / "results.json", plain_json(self.rows).encode())
        if self.run:
            run = {**self.run, "notes": self.notes}
            put_bytes(folder / "run.json", plain_json(run).encode())
        put_bytes(folder / "table.md", self.to_markdown().encode())
        put_bytes(folder / "table.csv", to_csv(self._records()).encode())
