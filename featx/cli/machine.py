"""Commands on data, networks and this machine: `datasets`, `backbones`, `baselines`, ..."""

from __future__ import annotations

from pathlib import Path

import click

from featx.cli.options import (
    cache_option,
    input_path,
    json_option,
    message_options,
    weights_dir_option,
)
from featx.cli.output import print_result
from featx.cli.root import commands
from featx.errors import FeatxError, UsageError


@commands.command()
@click.argument("name", required=False)
@click.option("--to", type=input_path, help="Folder for the archive and the images.")
@click.option(
    "--from", "given", type=input_path, help="The archive, if you downloaded it yourself."
)
@message_options
@json_option
def datasets(name: str | None, to: Path | None, given: Path | None, as_json: bool) -> None:
    """Download, check and unpack the public data set NAME; without NAME, list them.

    An interrupted download continues when the same command is run again. Without a network, the
    message says which file to bring and where to put it.

    Example: featx datasets kermany --to data
    """
    from featx.datasets.public import PUBLIC_SETS, fetch_public_set, get_public_set

    if name is None:
        if to is not None or given is not None:
            raise UsageError("name the data set to fetch, such as `featx datasets kermany --to .`")
        known = [public_set.to_dict() for public_set in PUBLIC_SETS.values()]
        print_result(known, as_json, "\n".join(_described(public_set) for public_set in known))
        return
    public_set = get_public_set(name)
    if to is None:
        raise UsageError(f"--to is missing; run `featx datasets {name} --to FOLDER`")
    folder = fetch_public_set(public_set, to, given)
    summary = {"images": str(folder), **public_set.to_dict()}
    text = (
        f"{sum(public_set.counts.values()):,} images are in {folder} ({public_set.license}; cite "
        f"{public_set.source}). Continue with\n"
        f"    featx benchmark {folder} --patients {public_set.patients} --out results\n"
        f"SHA-256 {public_set.sha256} ({public_set.checksum_source}); counts checked. "
        f"{public_set.file} is no longer needed."
    )
    print_result(summary, as_json, text)


def _described(public_set: dict[str, object]) -> str:
    return (
        f"{public_set['name']}: {public_set['title']}\n"
        f"    {public_set['source']}; {public_set['license']}\n"
        f"    {public_set['file']}, {public_set['size']:,} bytes, {public_set['page']}\n"
        f"    {public_set['address']}\n"
        f"    SHA-256 {public_set['sha256']}\n"
        f"    ({public_set['checksum_source']})"
    )


@commands.command()
@weights_dir_option
@json_option
def backbones(weights_dir: Path | None, as_json: bool) -> None:
    """List the frozen networks, and whose weights are on this machine.

    Example: featx backbones --weights-dir weights
    """
    from featx.cli.listings import backbone_rows, backbone_table

    rows = backbone_rows(weights_dir)
    print_result(rows, as_json, lambda: backbone_table(rows))


@commands.command()
@json_option
def baselines(as_json: bool) -> None:
    """List the baseline recipes: CNNs trained end to end, with their sources.

    Example: featx baselines --json
    """
    from featx.baselines.registry import list_baselines

    recipes = list_baselines()
    if as_json:
        print_result([recipe.to_dict() for recipe in recipes], as_json, "")
        return
    lines = [f"{recipe.name}\n    {recipe.title}\n    {recipe.source}" for recipe in recipes]
    click.echo("\n".join(lines))


@commands.command()
@weights_dir_option
@cache_option
@json_option
def doctor(weights_dir: Path | None, cache: Path | None, as_json: bool) -> None:
    """Show versions, engines, weights and the state of the cache.

    Example: featx doctor --json
    """
    from featx.cli.doctor import examine, findings_table

    findings = examine(weights_dir, cache)
    print_result(findings, as_json, lambda: findings_table(findings))


@commands.group("cache")
def cache_group() -> None:
    """List, verify and prune the cached features.

    Example: featx cache ls
    """


def _folder(cache: Path | None) -> Path:
    from featx.features.config import default_cache

    return default_cache() if cache is None else cache


@cache_group.command("ls")
@cache_option
@json_option
def cache_ls(cache: Path | None, as_json: bool) -> None:
    """List the recipes: backbone, weights, shards, bytes, days without new rows.

    Example: featx cache ls --json
    """
    from featx.features.cache.maintenance import list_recipes

    rows = list_recipes(_folder(cache))
    lines = [
        f"{row['folder']}: {row['shards']:,} shards, {row['bytes']:,} bytes, "
        f"{row['damaged']} damaged, idle for {row['idle_days']} days"
        for row in rows
    ]
    print_result(rows, as_json, "\n".join(lines) or "The cache is empty.")


@cache_group.command("verify")
@cache_option
@json_option
def cache_verify(cache: Path | None, as_json: bool) -> None:
    """Check every shard and set damaged ones aside; exit code 1 if there are any.

    Example: featx cache verify
    """
    from featx.features.cache.maintenance import verify

    findings = verify(_folder(cache))
    lines = [
        f"{row['folder']}: {row['sound_shards']:,} sound shards, {row['rows']:,} rows, "
        f"{len(row['set_aside'])} set aside"
        for row in findings
    ]
    print_result(findings, as_json, "\n".join(lines) or "The cache is empty.")
    if any(row["set_aside"] for row in findings):
        raise FeatxError("damaged shards were set aside; the next extraction computes them again")


@cache_group.command("prune")
@cache_option
@click.option(
    "--idle-days",
    type=click.FloatRange(min=0),
    help="Delete recipes without new rows for so many days.",
)
@click.option("--recipe", "recipes", multiple=True, help="Delete this recipe, named as in `ls`.")
@json_option
def cache_prune(
    cache: Path | None, idle_days: float | None, recipes: tuple[str, ...], as_json: bool
) -> None:
    """Delete damaged shards, unfinished files, and recipes that are named or idle.

    Example: featx cache prune --idle-days 90
    """
    from featx.features.cache.maintenance import prune

    result = prune(_folder(cache), idle_days=idle_days, folders=recipes)
    print_result(result, as_json, f"{result['files']:,} files, {result['bytes']:,} bytes deleted")
