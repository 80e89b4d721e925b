"""Callbacks of options that are settings of the process, not arguments of a command."""

from __future__ import annotations

import logging

import click

logger = logging.getLogger("featx.cli")


def set_verbose(_: click.Context, __: click.Parameter, value: bool) -> None:
    """Show messages for finding faults, and versions."""
    if value:
        from featx.runtime.versions import environment_versions

        logging.getLogger("featx").setLevel(logging.DEBUG)
        versions = environment_versions().items()
        logger.debug(", ".join(f"{name} {version}" for name, version in versions))


def set_quiet(_: click.Context, __: click.Parameter, value: bool) -> None:
    """Show warnings, errors and results only."""
    if value:
        logging.getLogger("featx").setLevel(logging.WARNING)


def set_jobs(_: click.Context, __: click.Parameter, value: int | None) -> None:
    """Set the number of jobs of this process."""
    from featx.runtime import parallel

    parallel.set_jobs(value)


def set_trust(_: click.Context, __: click.Parameter, value: bool) -> None:
    """Let networks run Python code of their own."""
    if value:
        from featx.backbones.opening import trust_remote_code

        trust_remote_code()


def set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    """Keep the form of the results for `featx.cli.output.print_result`."""
    context.meta["featx.json"] = value
