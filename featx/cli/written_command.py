"""The command as typed, without what it tells of the machine or of secrets."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePath
from typing import Any

import click
from click.core import ParameterSource

from featx.images.remote import is_url

__all__ = ["without_place", "written_command"]

_SECRETS = {"hash_patients"}


def written_command(context: click.Context) -> str:
    """Write the command down as it could be typed again, from another place.

    Only what was typed is named. Folders and files outside the working directory, which may name a
    user or a hospital, are cut to their last part, and secrets are left out.
    """
    words = context.command_path.split()
    for parameter in context.command.get_params(context):
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        if isinstance(parameter, click.Argument):
            words += _texts(value)
        elif getattr(parameter, "is_flag", False):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += _option(parameter, "SECRET" if name in _SECRETS else value)
    return shlex.join(words)


def without_place(path: str | Path) -> str:
    """Return a path as it is if it lies below the working directory, or else its last part.

    Examples
    --------
    >>> without_place("data/xrays"), without_place("/home/jane/xrays"), without_place("../jane/x")
    ('data/xrays', 'xrays', 'x')
    """
    pure = PurePath(path)
    inside = not pure.is_absolute() and not {"..", "~"} & set(pure.parts)
    return str(pure) if inside else pure.name


def _option(parameter: click.Parameter, value: Any) -> list[str]:
    flag = max(parameter.opts, key=len)
    if not parameter.multiple:
        return [flag, *_texts(value)]
    texts = _texts(value)
    if all("=" in text for text in texts):
        return [word for text in texts for word in (flag, text)]
    return [flag, ",".join(texts) or "none"]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}={without_place(path)}" for name, path in value.items()]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    if is_url(value):
        # Buckets and servers name a hospital as folders do.
        return [value.rstrip("/").rpartition("/")[2]]
    named = isinstance(value, str) and PurePath(value).is_absolute() and Path(value).exists()
    return [without_place(value) if named or isinstance(value, Path) else str(value)]
