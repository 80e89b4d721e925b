"""Progress of tasks longer than two seconds: tqdm in terminals and notebooks, log lines elsewhere.

Progress is hidden where the logger ``featx`` has a level above INFO (``--quiet``).
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from featx.runtime.process_state import usable_stderr

SECONDS_BEFORE_FIRST = 2.0
SECONDS_BETWEEN_LOG_LINES = 10.0
# tqdm's own format writes slow rates as "18.46s/ images".
_BAR = "{l_bar}{bar}| {n_fmt} of {total_fmt}{unit}, {rate_noinv:.2f}/s, {remaining} left{postfix}"
_LOG_LINE = (
    "{desc}: {n_fmt} of {total_fmt}{unit}, {rate_noinv:.2f}/s, about {remaining} left{postfix}"
)

logger = logging.getLogger(__name__)


@contextmanager
def progress(description: str, total: int, unit: str = "") -> Iterator[Callable[..., None]]:
    """Show the progress of a long task.

    Examples
    --------
    >>> with progress("Counting", total=3, unit="sheep") as advance:
    ...     for _ in range(3):
    ...         advance()
    """
    if logging.getLogger("featx").level > logging.INFO or total == 0:
        yield lambda *_, **__: None
        return
    # Imported here because it brings asyncio, which a prediction of one image has no use for.
    from tqdm.auto import tqdm

    common = {"desc": description, "total": total, "unit": f" {unit}" if unit else ""}
    stream = usable_stderr()
    if (stream is not None and stream.isatty()) or _in_notebook():
        bar = tqdm(**common, delay=SECONDS_BEFORE_FIRST, dynamic_ncols=True, bar_format=_BAR)
    else:
        bar = tqdm(
            **common,
            delay=SECONDS_BETWEEN_LOG_LINES,
            mininterval=SECONDS_BETWEEN_LOG_LINES,
            miniters=1,
            leave=False,
            bar_format=_LOG_LINE,
            file=_LogLines(),
        )
    with bar:

        def advance(steps: int = 1, note: str = "") -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(steps)

        yield advance


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class _LogLines(io.TextIOBase):
    """A stream whose lines become log records."""

    def write(self, text: str) -> int:
        if line := text.strip():
            logger.info(line)
        return len(text)
