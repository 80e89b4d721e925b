"""The commands that tell what is there, and that look after the cache."""

from __future__ import annotations

from pathlib import Path

import click

from featx.cli.options import PathArgument, json_option, weights_dir_option
from featx.cli.output import print_result
from featx.errors import FeatxError


@click.command()
@weights_dir_option
@json_option
def backbones(weights_dir: Path | None, as_json: bool) -> None:
    """List the frozen networks, and whether their weights are at hand.

    Example: featx backbones --weights-dir weights
    """
    from rich.console import Console

    from featx.cli.listings import backbone_rows, rows_to_terminal

    rows = backbone_rows(weights_dir)
    if as_json:
        print_result(rows, as_json, "")
    else:
        Console().print(rows_to_terminal(rows))


@click.command()
@weights_dir_option
@click.option("--cache", type=PathArgument, envvar="FEATX_CACHE", show_envvar=True)
@json_option
def doctor(weights_dir: Path | None, cache: Path | None, as_json: bool) -> None:
    """Tell versions, engines, weights at hand and the cache's health.

    Example: featx doctor --json
    """
    from featx.cli.doctor import examine

    findings = examine(weights_dir, cache)
    lines = [f"{topic}: {finding}" for topic, finding in findings.items()]
    print_result(findings, as_json, "\n".join(lines))


@click.group()
def cache() -> None:
    """Look after the cache of features.

    Example: featx cache ls
    """


_cache_folder = click.option(
    "--cache",
    "folder",
    type=PathArgument,
    envvar="FEATX_CACHE",
    show_envvar=True,
    help="Folder of cached features.  [default: ~/.cache/featx]",
)


def _cache_or_default(folder: Path | None) -> Path:
    from featx.features.config import default_cache

    return default_cache() if folder is None else folder


@cache.command("ls")
@_cache_folder
@json_option
def cache_ls(folder: Path | None, as_json: bool) -> None:
    """List the recipes: backbone, weights, shards, bytes, days idle.

    Example: featx cache ls --json
    """
    from featx.features.cache.maintenance import list_recipes

    rows = list_recipes(_cache_or_default(folder))
    lines = [
        f"{row['folder']}: {row['shards']:,} shards, {row['bytes']:,} bytes, "
        f"{row['damaged']} damaged, idle for {row['idle_days']} days"
        for row in rows
    ]
    print_result(rows, as_json, "\n".join(lines) or "The cache is empty.")


@cache.command("verify")
@_cache_folder
@json_option
def cache_verify(folder: Path | None, as_json: bool) -> None:
    """Check every shard and set damaged ones aside; exit code 1 if there was one.

    Example: featx cache verify
    """
    from featx.features.cache.maintenance import verify

    findings = verify(_cache_or_default(folder))
    lines = [
        f"{row['folder']}: {row['sound_shards']:,} sound shards, {row['rows']:,} rows, "
        f"{len(row['set_aside'])} set aside"
        for row in findings
    ]
    print_result(findings, as_json, "\n".join(lines) or "The cache is empty.")
    if any(row["set_aside"] for row in findings):
        raise FeatxError("damaged shards were set aside; the next extraction computes them again")


@cache.command("prune")
@_cache_folder
@click.option("--idle-days", type=float, help="Delete recipes that got no rows for so long.")
@click.option("--recipe", "recipes", multiple=True, help="Delete this recipe, named as `ls` does.")
@json_option
def cache_prune(
    folder: Path | None, idle_days: float | None, recipes: tuple[str, ...], as_json: bool
) -> None:
    """Delete damaged shards, files left by killed processes, and recipes named or idle.

    Example: featx cache prune --idle-days 90
    """
    from featx.features.cache.maintenance import prune

    result = prune(_cache_or_default(folder), idle_days=idle_days, folders=recipes)
    print_result(result, as_json, f"{result['files']:,} files, {result['bytes']:,} bytes deleted")
