"""The command line: words and flags to calls, nothing else."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from featx.cli import environment as surroundings
from featx.cli import explaining, exploring, fetching, reports, training, upkeep
from featx.cli.commands import commands
from featx.cli.interrupts import EXIT_CODE, Interrupts
from featx.cli.output import logging_to_stderr
from featx.errors import FeatxError
from featx.runtime.files import remove_unfinished

__all__ = ["main"]

for command in (
    training.baselines,
    training.train,
    explaining.explain,
    exploring.explore,
    fetching.datasets,
    reports.report,
    reports.compare,
    upkeep.backbones,
    upkeep.doctor,
    upkeep.cache,
    surroundings.completion,
):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    with Interrupts() as interrupts, logging_to_stderr():
        try:
            commands.main(args=arguments, prog_name="featx", standalone_mode=False)
            code = 0
        except Exception as error:
            # What was under way may word an interrupt as an error of its own.
            interrupted = interrupts.seen or isinstance(error, click.Abort)
            code = _tell_interrupted() if interrupted else _tell(error)
        except KeyboardInterrupt:
            code = _tell_interrupted()
    sys.exit(code)


def _tell(error: Exception) -> int:
    """Explain an error in one line; one that is no fault of the user goes on."""
    if isinstance(error, click.ClickException):
        error.show()
        return 2
    if isinstance(error, FeatxError):
        if logging.getLogger("featx").level <= logging.DEBUG:
            traceback.print_exception(error)
        click.echo(f"featx: {error}", err=True)
        return error.exit_code
    raise error


def _tell_interrupted() -> int:
    remove_unfinished()
    click.echo(
        "featx: interrupted; run the same command again to go on from where it was.", err=True
    )
    return EXIT_CODE
