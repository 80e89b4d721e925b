"""Result of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.benchmarking import published
from featx.classifiers.predictions import Predictions
from featx.errors import MissingExtraError
from featx.reporting.notes import Note, write_notes
from featx.reporting.page import table_to_html
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import FINDINGS, GROUPS, Results, part_folders, read_results
from featx.reporting.table_formats import to_csv, to_markdown
from featx.runtime.files import put_bytes
from featx.runtime.serialization import plain_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def ranked(rows: list[BenchmarkRow], rank_by: str | None) -> list[BenchmarkRow]:
    """Sort rows by a field of ``results.json``, highest first; without one, leave their order."""
    if rank_by is None:
        return rows
    return sorted(rows, key=lambda row: row.to_dict().get(rank_by) or 0.0, reverse=True)


@dataclass
class BenchmarkTable(Sequence[BenchmarkRow]):
    """Hold the rows of a benchmark, one per model, with their notes.

    `featx.benchmark` returns it, and `load` reads it from a results folder. It is a sequence of
    `BenchmarkRow`; a notebook shows it as a table.

    Parameters
    ----------
    rows : list of BenchmarkRow
        One per model.
    notes : list of Note, default=[]
        What a reader must know of the rows.
    run : dict, default={}
        Content of ``run.json``: versions, settings, flow of images, audit, learning curve,
        published figures.
    predictions : mapping, default={}
        Predictions of the images by set (``""`` is the test set) and name of row, for figures.
    findings : mapping of str to BenchmarkTable, default={}
        Of a benchmark of several findings, the table of each; figures of `rows` are their averages.
    groups : mapping of str to BenchmarkTable, default={}
        Likewise of a benchmark with `leave_group_out`, by the group that was left out.

    Examples
    --------
    >>> table = BenchmarkTable([], [Note("confidence", {"level": 0.95})])
    >>> table
    BenchmarkTable(0 rows)
    >>> print(table.to_markdown().splitlines()[-1])
    Intervals are at 95 %.
    """

    rows: list[BenchmarkRow]
    notes: list[Note] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[str, Predictions]] = field(
        default_factory=dict, compare=False
    )
    findings: Mapping[str, BenchmarkTable] = field(default_factory=dict, compare=False)
    groups: Mapping[str, BenchmarkTable] = field(default_factory=dict, compare=False)

    @classmethod
    def load(cls, folder: str | Path) -> BenchmarkTable:
        """Read a results folder, of any version.

        Parameters
        ----------
        folder : path-like
            Folder that ``featx benchmark --out`` wrote.

        Raises
        ------
        UsageError
            If there are no results in the folder.
        """
        results = read_results(folder)
        parts: dict[str, Any] = {
            kind: {n: cls.load(p) for n, p in part_folders(folder, results.run, kind).items()}
            for kind in (FINDINGS, GROUPS)
            if results.rows
        }
        run = dict(results.run)
        return cls(results.rows, results.notes, run, results.predictions, **parts)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __repr__(self) -> str:
        names = "".join(f"\n  {row.label}: AUC {row.estimates['auc']}" for row in self.rows)
        return f"BenchmarkTable({len(self)} {'row' if len(self) == 1 else 'rows'}{names})"

    def _repr_html_(self) -> str:
        return table_to_html(self.rows, self.notes)

    def _plain(self) -> list[dict[str, Any]]:
        return [row.to_dict() for row in self.rows]

    def to_markdown(self) -> str:
        """Return the table, its notes and published figures as Markdown."""
        parts = [to_markdown(self.rows).rstrip("\n"), *(note.text for note in self.notes)]
        if self.run.get("published"):
            parts.append(published.to_markdown(self.run["published"]))
        return "\n\n".join(parts) + "\n"

    def plot_roc(self, ax: Axes | None = None, *, positive: str | None = None) -> Axes:
        """Draw the ROC curves of all models on the test images, with bands, by Matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw on; by default new ones.
        positive : str, optional
            Class that is drawn against the rest; by default the first of those that can be.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        UsageError
            If there are no predictions.
        MissingExtraError
            If Matplotlib is not installed.
        """
        from featx.reporting.paper_figures import draw_roc, panel_of

        names = tuple(self.run.get("class_names", ()))
        results = Results(self.rows, self.run, class_names=names, predictions=self.predictions)
        panel = panel_of(results, positive)
        if ax is None:
            try:
                from matplotlib import pyplot
            except ImportError as error:
                raise MissingExtraError("a figure", "featx[figures]") from error
            ax = pyplot.subplots()[1]
        draw_roc(ax, panel)
        return ax

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame with the fields of ``results.json``.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("a data frame", "pandas") from error
        return pd.DataFrame(self._plain())

    def save(self, folder: str | Path) -> None:
        """Write ``results.json``, ``run.json``, ``table.md`` and ``table.csv``.

        Parameters
        ----------
        folder : path-like
            Made if it is missing.
        """
        folder = Path(folder)
        if self.run:
            # First, so that the rows of an unfinished run are never taken for all of them.
            run = {**self.run, **write_notes(self.notes)}
            put_bytes(folder / "run.json", plain_json(run).encode())
        put_bytes(folder / "table.md", self.to_markdown().encode("utf-8", "backslashreplace"))
        if not self.rows and self.run.get("finished") is False:
            return
        put_bytes(folder / "results.json", plain_json(self._plain()).encode())
        put_bytes(folder / "table.csv", to_csv(self.rows))
