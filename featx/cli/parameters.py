"""Types of parameters: each checks its value before any work, and imports no large library."""

from __future__ import annotations

import copy
import math
import pkgutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from featx.errors import UsageError, find_name
from featx.images.remote import is_url
from featx.runtime.files import check_output
from featx.runtime.kinds import Kind, expect

# By suffix, what files that featx writes have at their beginning.
_SIGNATURES = {
    ".h5": b"featx_format",
    ".csv": b"probability_",
    ".html": b"featx",
    ".json": b'"featx": ',
    ".skops": b"featx sha256",
    ".xml": b"<net ",
}


class Option(click.Option):
    """Option that names its variable, and only the first of its spellings, in the help."""

    def __init__(self, *declarations: Any, **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.show_envvar = True

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Write the first spelling and the text."""
        shown = copy.copy(self)
        shown.opts = self.opts[:1]
        return super(Option, shown).get_help_record(ctx)


option = partial(click.option, cls=Option)


class _Converted(click.ParamType):
    """Text that a function converts, whose usage errors become the command line's."""

    name = "text"

    def __init__(self, function: Callable[[str], Any]) -> None:
        self.function = function

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a value, unless a shell completes words and wants no library imported."""
        if ctx is not None and ctx.resilient_parsing:
            return value
        try:
            return self.function(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Checked(_Converted):
    """Text that a function of featx accepts, imported at first use, or one of other words."""

    def __init__(self, function: str, *words: str) -> None:
        def check(text: str) -> str:
            if text.lower() in words:
                return text.lower()
            pkgutil.resolve_name(function)(text)
            return text

        super().__init__(check)


def _part(text: str) -> tuple[int, int]:
    part, _slash, count = text.partition("/")
    if not (part.isdecimal() and count.isdecimal() and 1 <= int(part) <= int(count)):
        raise UsageError(f"{text!r} is not K/N; write 2/8 for the second of eight parts")
    return int(part), int(count)


PART = _Converted(_part)
BACKBONE = Checked("featx.backbones.registry:get_backbone")
BACKBONES = Checked("featx.backbones.registry:check_backbones")
BASELINE = Checked("featx.baselines.registry:get_baseline")
BASELINES = Checked("featx.baselines.registry:get_baseline", "none")
CLASSIFIER = Checked("featx.classifiers.registry:get_classifier")
CLASSIFIERS = Checked("featx.classifiers.registry:get_classifier", "all")
OPERATING_POINT = Checked("featx.metrics.operating_point:OperatingPoint.parse")
COLUMNS = Checked("featx.datasets.rules:read_columns")
MEMORY = Checked("featx.runtime.memory:parse_size")
RENAMED = Checked("featx.datasets.rules:read_pairs")
PUBLIC_SET = Checked("featx.datasets.public:get_public_set")
SCHEDULER = Checked("featx.features.cluster:parse_address")
SECRET = Checked("featx.datasets.patients:check_secret")
WEIGHTS = Checked("featx.backbones.weights:check_weights", "imagenet", "random")


class Choice(click.Choice[str]):
    """One of fixed names, whatever its capitals, hyphens and underscores."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the registered spelling."""
        known = [str(choice) for choice in self.choices]
        find: Callable[[str], Any] = partial(find_name, str(param and param.name), known=known)
        if value == "int8":
            # A precision of earlier versions; the message names the new way.
            find = pkgutil.resolve_name("featx.backbones.registry:check_precision")
        return str(_Converted(find).convert(value, param, ctx))


FORMAT = Choice(["pdf", "svg", "png"])


class FloatRange(click.FloatRange):
    """Number in a range, which nan is not."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert a value."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


class OutputPath(_Converted):
    """Path to write."""

    name = "path"

    def __init__(
        self, kind: Literal["file", "folder"], example: str = "", *, writable: bool = True
    ) -> None:
        self.kind, self.example, self.writable = kind, example, writable
        super().__init__(self._check)

    def _check(self, text: str) -> Path:
        path = check_output(text, self.kind, writable=self.writable)
        if path.is_file() and not self._is_own(path):
            raise UsageError(
                f"{text!r} exists and is no such file of featx; give another path, or delete it "
                "first"
            )
        return path

    def _is_own(self, path: Path) -> bool:
        """Whether a file may be replaced: it is empty, or featx wrote it."""
        with path.open("rb") as file:
            ends = file.read(1 << 16)
            # The mark of a model is at its end.
            file.seek(max(0, path.stat().st_size - 128))
            ends += file.read()
        return not ends or _SIGNATURES[Path(self.example).suffix] in ends


class InputPath(_Converted):
    """Path to read, of a kind; a URL of images stays as it was typed."""

    name = "path"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        super().__init__(
            lambda path: path if kind == "images" and is_url(path) else expect(path, kind)
        )
