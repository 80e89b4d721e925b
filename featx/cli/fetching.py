"""The command that brings public collections."""

from __future__ import annotations

from pathlib import Path

import click

from featx.cli.options import PathArgument, json_option, quiet_option
from featx.cli.output import print_result
from featx.cli.root import commands
from featx.errors import UsageError


@commands.command()
@click.argument("name", required=False)
@click.option("--to", type=PathArgument, help="Folder for the archive and the images.")
@click.option(
    "--from", "given", type=PathArgument, help="The archive, where it was brought by hand."
)
@quiet_option
@json_option
def datasets(name: str | None, to: Path | None, given: Path | None, as_json: bool) -> None:
    """Fetch the public data set NAME, check it and unpack it; without NAME, list what there is.

    An interrupted download goes on when the same command is given again. Without a network, the
    message says what to bring and where to put it.

    Example: featx datasets kermany --to data
    """
    from featx.datasets.public import fetch_public_set, get_public_set, list_public_sets

    if name is None:
        if to is not None or given is not None:
            raise UsageError("name the data set to fetch, such as `featx datasets kermany --to .`")
        known = [public_set.to_dict() for public_set in list_public_sets()]
        print_result(known, as_json, "\n".join(_described(public_set) for public_set in known))
        return
    public_set = get_public_set(name)
    if to is None:
        raise UsageError(f"say where to put it: `featx datasets {name} --to FOLDER`")
    folder = fetch_public_set(public_set, to, given)
    summary = {"images": str(folder), **public_set.to_dict()}
    text = (
        f"{sum(public_set.counts.values()):,} images are in {folder} ({public_set.license}; cite "
        f"{public_set.source}). Go on with\n"
        f"    featx benchmark {folder} --patients {public_set.patients} --out results\n"
        f"SHA-256 {public_set.sha256} ({public_set.checksum_source}); counts checked. "
        f"{public_set.file} is needed no more."
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
