"""What the command line heeds and tells beyond its words: variables, exit codes, completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["SURROUNDINGS", "VARIABLES", "completion"]

VARIABLES = {
    "FEATX_CACHE": "Folder of cached features, in place of ~/.cache/featx.",
    "FEATX_WEIGHTS_DIR": "Folder to look for weights files in.",
    "FEATX_JOBS": "Fits, and images read, at a time.",
    "FEATX_PATIENT_SECRET": "Key for the hashes of patients.",
    "KERAS_BACKEND": "tensorflow, jax or torch.",
    "KERAS_HOME": "Where Keras keeps weights, in place of ~/.keras.",
    "XDG_CACHE_HOME": "In place of ~/.cache.",
    "XDG_CONFIG_HOME": "In place of ~/.config, where the secret for DICOM's patients is.",
    "TF_CPP_MIN_LOG_LEVEL": "How much TensorFlow's C++ says; featx sets 3, errors only.",
    "https_proxy": "The way out, for weights and data sets.",
    "NO_COLOR": "Any value: no colors.",
}

EXIT_CODES = {
    0: "done",
    1: "failed: the message says why",
    2: "used wrongly: a word, an option or a file that is not there",
    130: "interrupted; the same command goes on",
}


def _table(heading: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {text}" for name, text in rows.items()]
    # The mark keeps click from joining the lines.
    return "\n".join(["\b", f"{heading}:", *lines])


SURROUNDINGS = "\n\n".join(
    [
        _table("Exit codes", {str(code): text for code, text in EXIT_CODES.items()}),
        _table("Environment variables", VARIABLES),
        "Options win over variables. Completion of words in your shell: `featx completion --help`.",
    ]
)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes featx's words in SHELL.

    \b
    bash  add to ~/.bashrc:  eval "$(featx completion bash)"
    zsh   add to ~/.zshrc:   eval "$(featx completion zsh)"
    fish  featx completion fish > ~/.config/fish/completions/featx.fish

    Example: featx completion bash
    """  # noqa: D301
    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(context.find_root().command, {}, "featx", "_FEATX_COMPLETE").source())
