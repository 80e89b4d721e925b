"""Progress of anything that takes longer than two seconds, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

__all__ = ["detail", "is_verbose", "progress", "say", "set_quiet", "set_verbose"]

# In a log file a line now and then is progress; a line a step is noise.
LOG_EVERY_SECONDS = 10.0
# A notebook's line is replaced, so that it may be fresh.
NOTEBOOK_EVERY_SECONDS = 0.5

_quiet = False
_verbose = False


def set_quiet(quiet: bool) -> None:
    """Turn progress and notes off (or on again) for this process."""
    global _quiet
    _quiet = quiet


def set_verbose(verbose: bool) -> None:
    """Turn details on (or off again) for this process."""
    global _verbose
    _verbose = verbose


def is_verbose() -> bool:
    """Tell whether details were asked for."""
    return _verbose


def detail(message: str) -> None:
    """Write one note to standard error for the user who asked for details."""
    if _verbose:
        say(message)


def say(message: str) -> None:
    """Write one note for the user to standard error."""
    if not _quiet:
        # In a notebook rich would make each note a picture of its own.
        console = Console(stderr=True, highlight=False, soft_wrap=True, force_jupyter=False)
        console.print(message, markup=False)


@contextmanager
def progress(description: str, total: int, unit: str = "") -> Iterator[Callable[..., None]]:
    """Show how far a long task is.

    Examples
    --------
    >>> with progress("Counting", total=3, unit="sheep") as advance:
    ...     for _ in range(3):
    ...         advance()
    """
    if _quiet or total == 0:
        yield _nothing
    elif sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(description, total=total, unit=unit, note="")

            def advance(steps: int = 1, note: str = "") -> None:
                bar.update(task, advance=steps, note=note)

            yield advance
    elif _in_notebook():
        line = _NotebookLine(description, total, unit)
        try:
            yield line
        finally:
            line.show()
    else:
        yield _LogLines(description, total, unit)


def _nothing(steps: int = 1, note: str = "") -> None:
    pass


class _RateColumn(ProgressColumn):
    """Steps a second, with their unit."""

    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields['unit']}/s" if speed else "", style="dim")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=Console(stderr=True),
    )


def _in_notebook() -> bool:
    # Whoever has not imported IPython is in no notebook.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class _NotebookLine:
    """Progress in a notebook: one line of the cell's output, replaced as work goes on."""

    def __init__(self, description: str, total: int, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done, self.note = 0, ""
        self.started = self.last = time.monotonic()
        self._handle: Any = None

    def __call__(self, steps: int = 1, note: str = "") -> None:
        self.done, self.note = self.done + steps, note
        if time.monotonic() - self.last >= NOTEBOOK_EVERY_SECONDS:
            self.show()

    def show(self) -> None:
        from IPython.display import display

        self.last = time.monotonic()
        filled = min(20, 20 * self.done // self.total)
        rate = self.done / max(self.last - self.started, 1e-9)
        text = (
            f"{self.description} {'█' * filled}{'░' * (20 - filled)} {self.done:,} of "
            f"{self.total:,} {self.unit}, {rate:,.1f}/s {self.note}".rstrip()
        )
        if self._handle is None:
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)


class _LogLines:
    """Progress where there is no terminal: a line every few seconds, and none if it was quick."""

    def __init__(self, description: str, total: int, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = 0
        self.started = self.last = time.monotonic()

    def __call__(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.last < LOG_EVERY_SECONDS:
            return
        self.last = now
        rate = self.done / (now - self.started)
        left = (self.total - self.done) / rate
        say(
            f"{self.description}: {self.done:,} of {self.total:,} {self.unit}, "
            f"{rate:,.1f}/s, about {left:,.0f} s left{f' ({note})' if note else ''}"
        )
