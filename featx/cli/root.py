"""Root command: sections of `featx --help`, exit codes, environment variables, completion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import featx

SECTIONS = {
    "Images to a table": ("demo", "extract", "fit", "benchmark"),
    "Models": ("predict", "evaluate", "accept", "adapt", "explain", "train"),
    "Results and features": ("report", "figures", "compare", "verify", "plan", "explore", "export"),
    "Data, networks and machine": (
        *("datasets", "backbones", "quantize", "baselines", "cache", "doctor"),
    ),
}

EXIT_CODES = {
    "0": "done",
    "1": "failed; the message says why",
    "2": "usage error: unknown option or name, missing file",
    "130": "interrupted; the same command continues where it stopped",
}

VARIABLES = {
    "FEATX_CACHE": "Folder of cached features, instead of ~/.cache/featx.",
    "FEATX_WEIGHTS_DIR": "Folder of weights files.",
    "FEATX_JOBS": "Number of fits, and of images read, at once.",
    "FEATX_PATIENT_SECRET": "Key of the patients' hashes.",
    "KERAS_BACKEND": "tensorflow, jax or torch.",
    "KERAS_HOME": "Folder of Keras' own weights, instead of ~/.keras.",
    "XDG_CACHE_HOME": "Instead of ~/.cache.",
    "XDG_CONFIG_HOME": "Instead of ~/.config, for DICOM patients' secret.",
    "TF_CPP_MIN_LOG_LEVEL": "Messages of TensorFlow's C++; featx sets 3, errors.",
    "https_proxy": "Proxy for weights and data sets.",
    "NO_COLOR": "Any value: no colors.",
}

COMPLETION = {
    "bash": 'eval "$(_FEATX_COMPLETE=bash_source featx)"    in ~/.bashrc',
    "zsh": 'eval "$(_FEATX_COMPLETE=zsh_source featx)"     in ~/.zshrc',
    "fish": "_FEATX_COMPLETE=fish_source featx | source     in config.fish",
}


def _table(heading: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {text}" for name, text in rows.items()]
    # The mark keeps click from joining the lines.
    return "\n".join(["\b", f"{heading}:", *lines])


EPILOG = "\n\n".join(
    [
        _table("Exit codes", EXIT_CODES),
        _table("Environment variables; options win, empty counts as unset", VARIABLES),
        _table("Completion in your shell", COMPLETION),
    ]
)


class Command(click.Command):
    """Command that does not write over what it reads."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        out = ctx.params.get("out")
        others = [value for name, value in ctx.params.items() if name != "out"]
        flat = [each for value in others for each in (value if type(value) is tuple else [value])]
        paths = [path for path in flat if isinstance(path, Path) and path.exists()]
        if out is not None and out.exists() and any(map(out.samefile, paths)):
            raise click.UsageError(f"--out {out} is what is read; give another path", ctx)
        return super().invoke(ctx)


class SectionedGroup(click.Group):
    """Group that lists its commands by section, with whole summaries."""

    command_class = Command
    # A group inside it is of its class, too.
    group_class = type

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        width = max(map(len, self.commands))
        sections = SECTIONS if ctx.parent is None else {"Commands": tuple(self.commands)}
        for section, names in sections.items():
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (f"{name:<{width}}", self.commands[name].get_short_help_str(limit=1000))
                        for name in names
                    ]
                )


@click.group(
    cls=SectionedGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog=EPILOG,
)
@click.version_option(featx.__version__, prog_name="featx")
def commands() -> None:
    """Chest X-rays to frozen-CNN features, classical classifiers and an honest benchmark."""
