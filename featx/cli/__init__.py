"""The command line: words and flags to calls, nothing else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from featx.cli import training, upkeep
from featx.cli.commands import commands
from featx.errors import FeatxError

__all__ = ["main"]

for command in (training.baselines, training.train, upkeep.backbones, upkeep.doctor, upkeep.cache):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    try:
        commands.main(args=arguments, prog_name="featx", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except FeatxError as error:
        click.echo(f"featx: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "featx: interrupted; run the same command again to go on from where it was.", err=True
        )
        sys.exit(130)
    sys.exit(0)
