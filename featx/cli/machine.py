"""Commands on data, networks and this machine: `datasets`, `backbones`, `baselines`, ..."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import featx
from featx.cli import options, parameters
from featx.cli.output import print_result
from featx.cli.root import commands
from featx.errors import FeatxError, UsageError


@commands.command()
@click.argument("name", required=False, type=parameters.PUBLIC_SET)
@parameters.option(
    "--to", type=parameters.OutputPath("folder"), help="Folder for the archive and the images."
)
@parameters.option(
    "--from", "given", type=options.input_file, help="The archive, if you downloaded it yourself."
)
@options.message_options
@options.json_option
def datasets(name: str | None, to: Path | None, given: Path | None) -> None:
    """Download, check and unpack the public data set NAME; without NAME, list them.

    An interrupted download continues when the same command is run again. Without a network, the
    message says which file to bring and where to put it.

    Example: featx datasets kermany --to data
    """
    from featx.datasets.public import PUBLIC_SETS, fetch_public_set, get_public_set

    if name is None:
        if to is not None or given is not None:
            raise UsageError("name the data set to fetch, such as `featx datasets kermany --to .`")
        known = list(PUBLIC_SETS.values())
        lines = [
            f"{each.name}: {each.title}\n"
            f"    {each.source}; {each.license}\n"
            f"    {each.file}, {each.size:,} bytes, {each.page}\n"
            f"    {each.address}\n"
            f"    SHA-256 {each.sha256}\n"
            f"    ({each.checksum_source})"
            for each in known
        ]
        print_result([each.to_dict() for each in known], "\n".join(lines))
        return
    public_set = get_public_set(name)
    if to is None:
        raise UsageError(f"--to is missing; run `featx datasets {name} --to FOLDER`")
    folder = fetch_public_set(public_set, to, given)
    summary = {"images": folder, **public_set.to_dict()}
    text = (
        f"{sum(public_set.counts.values()):,} images are in {folder} ({public_set.license}; cite "
        f"{public_set.source}). Continue with\n"
        f"    featx benchmark {folder} --patients {public_set.patients} --out results\n"
        f"SHA-256 {public_set.sha256} ({public_set.checksum_source}); counts checked. "
        f"{public_set.file} is no longer needed."
    )
    print_result(summary, text)


@commands.command()
@click.argument("name", required=False, type=parameters.BACKBONE)
@options.weights_dir_option
@options.cache_option
@options.trust_option
@options.json_option
def backbones(name: str | None, weights_dir: Path | None, cache: Path | None) -> None:
    """List the frozen networks, and whose weights are on this machine; of NAME also its details.

    Details are preprocessing, license, origin, the stages that --pooling multi_depth reads, and
    the results of the network check in the cache.
    NAME may also be a network of your own: onnx:FILE.onnx, openvino:FILE.xml,
    keras:FILE.keras, or timm:, hf: and torchxrayvision: with a name or a folder.

    Example: featx backbones efficientnet_lite0
    """
    from featx.cli.doctor import backbone_rows, backbone_table, detail_tables

    rows = backbone_rows(weights_dir, name, cache)
    details = [] if name is None else detail_tables(rows[0])
    print_result(rows, backbone_table(rows), *details)


@commands.command()
@click.argument("backbone", type=parameters.BACKBONE)
@options.images_argument
@options.output_option("file", "net.xml", help="File to write; its weights and card lie beside it.")
@options.input_options
@options.network_options
@options.rehash_option
@options.naming_options
@options.seed_option
@options.running_options
def quantize(backbone: str, images: str, out: Path, **given: Any) -> None:
    """Quantize BACKBONE to int8 on IMAGES, into a network's file, which is faster on CPUs.

    Up to 300 IMAGES outside test splits are used, without labels. Then name openvino:NET.xml as
    any network. --pooling matters only where BACKBONE is not registered: NET.xml allows no other.

    Example: featx quantize densenet121 chest_xray --out d121.xml
    """
    dataset = featx.ImageDataset.open(images, labeled=None, **options.naming_rules(given))
    found = featx.quantize(backbone, dataset, out=out, **options.given_settings(given))
    number = len(found.quantized_from["images"])
    summary = {"out": out, "name": found.name, "images": number, "sha256": found.digest}
    print_result(summary, f"quantized on {number:,} images: give the name openvino:{out}")


@commands.command()
@options.json_option
def baselines() -> None:
    """List the baseline recipes: CNNs trained end to end, with their sources.

    Example: featx baselines --json
    """
    from featx.baselines.registry import list_baselines

    recipes = list_baselines()
    lines = [f"{recipe.name}\n    {recipe.title}\n    {recipe.source}" for recipe in recipes]
    print_result([recipe.to_dict() for recipe in recipes], "\n".join(lines))


@commands.command()
@options.weights_dir_option
@options.cache_option
@options.json_option
def doctor(weights_dir: Path | None, cache: Path | None) -> None:
    """Show versions, engines, weights and the state of the cache.

    Example: featx doctor --json
    """
    from featx.cli.doctor import examine, findings_table

    findings = examine(weights_dir, cache)
    print_result(findings, findings_table(findings))


@commands.group("cache")
def cache_group() -> None:
    """List, verify and prune the cached features.

    Example: featx cache ls
    """


def _folder(cache: Path | None) -> Path:
    from featx.features.config import default_cache

    return default_cache() if cache is None else cache


@cache_group.command("ls")
@options.cache_option
@options.json_option
def cache_ls(cache: Path | None) -> None:
    """List the recipes: backbone, weights, shards, bytes, days without new rows.

    Example: featx cache ls --json
    """
    from featx.features.cache.maintenance import list_recipes

    rows = list_recipes(_folder(cache))
    lines = [
        f"{row['folder']}: {row['shards']:,} {row['kind']}, {row['bytes']:,} bytes, "
        f"{row['damaged']} damaged, idle for {row['idle_days']} days"
        for row in rows
    ]
    print_result(rows, "\n".join(lines) or "The cache is empty.")


@cache_group.command("verify")
@options.cache_option
@options.json_option
def cache_verify(cache: Path | None) -> None:
    """Check every shard and network, set damaged ones aside; exit code 1 if there are any.

    Example: featx cache verify
    """
    from featx.features.cache.maintenance import verify

    findings = verify(_folder(cache))
    lines = [
        f"{row['folder']}: {row['sound_shards']:,} sound {row['kind']}, {row['rows']:,} rows, "
        f"{len(row['set_aside'])} set aside"
        for row in findings
    ]
    print_result(findings, "\n".join(lines) or "The cache is empty.")
    unusable = sum(len(row["unusable"]) for row in findings)
    if unusable:
        aside = sum(len(row["set_aside"]) for row in findings)
        raise FeatxError(
            f"{unusable:,} shards are damaged or cannot be read, {aside:,} of them set aside; "
            "extractions compute their rows again"
        )


@cache_group.command("prune")
@options.cache_option
@parameters.option(
    "--idle-days",
    type=parameters.FloatRange(min=0),
    help="Delete recipes without new rows, and networks unused, for so many days.",
)
@parameters.option(
    "--recipe", "recipes", multiple=True, help="Delete this recipe, named as in `ls`."
)
@options.json_option
def cache_prune(cache: Path | None, idle_days: float | None, recipes: tuple[str, ...]) -> None:
    """Delete damaged and unfinished files, named or idle recipes, idle converted networks.

    Example: featx cache prune --idle-days 90
    """
    from featx.features.cache.maintenance import prune

    result = prune(_folder(cache), idle_days=idle_days, folders=recipes)
    print_result(result, f"{result['files']:,} files, {result['bytes']:,} bytes deleted")
