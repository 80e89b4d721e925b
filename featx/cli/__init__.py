"""Command line: options to calls of the public functions, nothing else."""

from __future__ import annotations

import logging
import os
import re
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
from featx.runtime.kinds import shown
from featx.runtime.process_state import occupy_standard_descriptors

# Environment variables that change what libraries do.
_LIBRARIES = ("DNNL_", "HDF5_", "KERAS_", "ONEDNN_", "OPENCV_", "OV_", "TF_", "XLA_")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code: see `featx.cli.root.EXIT_CODES`."""
    occupy_standard_descriptors()
    with Interrupts() as interrupts, logging_to_stderr():
        try:
            # Commands return nothing, and click the code with which one exits.
            code = commands.main(args=arguments, prog_name="featx", standalone_mode=False) or 0
            _flush()
        except Exception as error:
            # Libraries may turn an interrupt into an error of their own.
            interrupted = interrupts.seen or isinstance(error, click.Abort)
            code = _show_interrupted() if interrupted else _show(error)
        except KeyboardInterrupt:
            code = _show_interrupted()
    sys.exit(code)


def _flush() -> None:
    """Write what is left of the output here, where a full disk can be reported."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        # Otherwise Python tries again at its end, and reports it in its own way.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _show(error: Exception) -> int:
    """Print the message of an error in one place, and return the exit code."""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = "featx" if context is None else context.command_path
        message = f"featx: {error.format_message().rstrip('.')}; see `{path} --help`"
        click.echo(safe(_shorten(message)), err=True)
        return 2
    if logging.getLogger("featx").level <= logging.DEBUG:
        traceback.print_exception(error)
    text = str(error) if isinstance(error, FeatxError) else _explain(error)
    click.echo(safe(_shorten(f"featx: {text}")), err=True)
    return error.exit_code if isinstance(error, FeatxError) else 1


def _shorten(message: str) -> str:
    """Shorten words that nobody would read to their end, such as cells of damaged tables."""
    return re.sub(r"\S{1000,}", lambda word: shown(word[0]), message)


def _explain(error: Exception) -> str:
    """Return the message of an error that no part of featx foresaw."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return (
            f"memory ran out{text and f' ({text[:200]})'}; close other programs, use --jobs 1 or "
            "fewer --views, or take a machine or a job with more memory"
        )
    if isinstance(error, OSError) and error.strerror:
        place = "the output" if error.filename is None else shown(error.filename)
        return f"{place}: {error.strerror}; mend this and run the same command again"
    variables = [f"${name}" for name in sorted(os.environ) if name.startswith(_LIBRARIES)]
    unset = f"; or unset {', '.join(variables)} first" if variables else ""
    return (
        f"unexpected {type(error).__name__}{text and f': {text[:400]}'}. Run the same command with "
        f"--verbose for the traceback, and report it{unset}"
    )


def _show_interrupted() -> int:
    remove_unfinished()
    click.echo("featx: interrupted; run the same command again to continue.", err=True)
    return EXIT_CODE
