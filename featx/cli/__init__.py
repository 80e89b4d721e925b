"""Command line: options to calls of the public functions, nothing else."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from featx.cli import commands as _commands  # noqa: F401
from featx.cli import machine, models, results  # noqa: F401
from featx.cli.interrupts import EXIT_CODE, Interrupts
from featx.cli.output import logging_to_stderr, safe
from featx.cli.root import commands
from featx.errors import FeatxError
from featx.runtime.files import remove_unfinished

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code: see `featx.cli.root.EXIT_CODES`."""
    with Interrupts() as interrupts, logging_to_stderr():
        try:
            commands.main(args=arguments, prog_name="featx", standalone_mode=False)
            code = 0
        except Exception as error:
            # Libraries may turn an interrupt into an error of their own.
            interrupted = interrupts.seen or isinstance(error, click.Abort)
            code = _show_interrupted() if interrupted else _show(error)
        except KeyboardInterrupt:
            code = _show_interrupted()
    sys.exit(code)


def _show(error: Exception) -> int:
    """Print the message of an expected error and return the exit code; raise others."""
    if isinstance(error, click.ClickException):
        error.show()
        return 2
    if isinstance(error, FeatxError):
        if logging.getLogger("featx").level <= logging.DEBUG:
            traceback.print_exception(error)
        click.echo(safe(f"featx: {error}"), err=True)
        return error.exit_code
    raise error


def _show_interrupted() -> int:
    remove_unfinished()
    click.echo("featx: interrupted; run the same command again to continue.", err=True)
    return EXIT_CODE
