"""Open networks that are not in the registry: by a prefix, or by an entry point of a package."""

from __future__ import annotations

import glob
import importlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from importlib import metadata
from pathlib import Path

from featx.backbones.brought import PYTHON, Backbone
from featx.errors import FeatxError, UsageError, find_name

# Entry points of packages: a name, and a function without parameters that returns a `Backbone`.
ENTRY_POINTS = "featx.backbones"


_remote_code_trusted = False


def trust_remote_code(trusted: bool = True) -> None:
    """Allow networks of Hugging Face to run Python code of their own.

    This is for the whole process. By default a network ``"hf:FOLDER"`` or ``"hf:ID"`` whose
    configuration names such code (``auto_map``) is refused. Trusted code can do whatever you can
    do: read it before.

    Parameters
    ----------
    trusted : bool, default=True
        Whether to run the code.

    Examples
    --------
    >>> import featx
    >>> featx.trust_remote_code(False)
    """
    global _remote_code_trusted
    _remote_code_trusted = trusted


def remote_code_trusted() -> bool:
    """Return what `trust_remote_code` set."""
    return _remote_code_trusted


@dataclass(frozen=True)
class Prefix:
    """How names with a prefix, such as ``"onnx:FILE"``, become records."""

    # Its ``open_backbone(reference, size)`` returns a `Backbone`. The reference is what follows the
    # prefix: an absolute path where there is such a file, or a name.
    module: str
    # Ending of its files, by which they are found again.
    suffix: str = ""

    def open(self, reference: str, size: int | None) -> Backbone:
        """Return the record of a file or a name, for an input size."""
        path = Path(reference)
        # The card and files of weights bear the name of their network.
        beside = path.parent.glob(f"{glob.escape(path.stem)}*") if path.is_file() else ()
        files = sorted(path.iterdir()) if path.is_dir() else sorted(beside)
        stamps = [(f.name, s.st_mtime_ns, s.st_size) for f in files for s in [f.stat()]]
        return _open_once(self.module, reference, size, tuple(stamps))


PREFIXES = {
    "onnx": Prefix("featx.backbones.onnx_file", ".onnx"),
    "openvino": Prefix("featx.backbones.onnx_file", ".xml"),
    "keras": Prefix("featx.backbones.keras_file", ".keras"),
    "timm": Prefix("featx.backbones.timm_hub"),
    "hf": Prefix("featx.backbones.transformers_hub"),
    "torchxrayvision": Prefix("featx.backbones.xrayvision_hub"),
}
"""Prefixes of names of networks that are not in the registry."""

OPENED: dict[str, Callable[[int | None], Backbone]] = {}
"""Networks of this process by name; each is opened for an input size, None for its own."""


@lru_cache(maxsize=64)
def _open_once(module: str, reference: str, size: int | None, _stamps: object) -> Backbone:
    """Open a network again only where one of its files has changed."""
    return importlib.import_module(module).open_backbone(reference, size)


def open_name(name: str) -> str:
    """Open a network by its name without size; return its name without path, or nothing.

    Nothing is returned for names without a prefix that no package registers.
    """
    if name in OPENED:
        return name
    prefix, colon, reference = name.partition(":")
    if colon:
        prefix = find_name("prefix of a backbone", prefix, ["tuned", PYTHON[:-1], *PREFIXES])
        if prefix in PREFIXES:
            return _open(PREFIXES[prefix], reference).name
        raise UsageError(
            f"{name}: this process has no such function; make it with "
            "featx.Backbone.from_callable and give the object"
        )
    return remember(_from_entry_point(name)) if name in entry_points() else ""


def remember(backbone: Backbone) -> str:
    """Return the name of a record, by which this process finds it from now on."""

    def of_size(size: int | None) -> Backbone:
        if size is not None and backbone.size != (size, size):
            height, width = backbone.size
            raise UsageError(f"{backbone.name} takes images of {height} x {width} pixels only")
        return backbone

    OPENED[backbone.name] = of_size
    return backbone.name


def _open(prefix: Prefix, reference: str) -> Backbone:
    """Open a network, and remember where its name comes from."""
    path = Path(reference).expanduser()
    reference = str(path.absolute()) if path.exists() else reference
    backbone = prefix.open(reference, None)
    OPENED[backbone.name] = partial(prefix.open, reference)
    return backbone


@cache
def entry_points() -> dict[str, metadata.EntryPoint]:
    """Return the entry points by which installed packages register backbones."""
    return {each.name: each for each in metadata.entry_points(group=ENTRY_POINTS)}


def _from_entry_point(name: str) -> Backbone:
    entry = entry_points()[name]
    try:
        backbone = entry.load()()
    # Code of another package may raise anything.
    except Exception as error:
        raise FeatxError(
            f"the package that registers the backbone {name} failed "
            f"({type(error).__name__}: {error}); update or remove {entry.value}"
        ) from error
    if not isinstance(backbone, Backbone):
        raise FeatxError(
            f"{entry.value}, registered as the backbone {name}, returned a "
            f"{type(backbone).__name__} and has to return a featx.Backbone; update the package"
        )
    return replace(backbone, name=name)


def reopen(name: str, digest: str, places: Iterable[Path]) -> Backbone:
    """Open the network of a recipe's name and digest again, from files or folders."""
    of_file = re.fullmatch(r"(\w+):(.+)-[0-9a-f]{8}", name)
    if of_file is None:
        opened = open_name(name)
        if not opened:
            raise FeatxError(
                f"the features are of the network {name}, which no installed package registers "
                f"(entry point {ENTRY_POINTS}); install its package"
            )
        backbone = OPENED[opened](None)
        if backbone.digest == digest:
            return backbone
        raise FeatxError(
            f"the features are of another version of {name} than the one of this process; install "
            "or make that version again"
        )
    # The file of this process may be gone.
    with suppress(FeatxError):
        if name in OPENED and (backbone := OPENED[name](None)).digest == digest:
            return backbone
    prefix = PREFIXES[of_file[1]]
    file = of_file[2] + prefix.suffix
    tried = [place if place.is_file() else place / file for place in places]
    found = [_open(prefix, str(path)) for path in tried if path.exists()]
    for backbone in found:
        if (backbone.name, backbone.digest) == (name, digest):
            return backbone
    others = f" ({', '.join(each.name for each in found)}: other weights or another card)"
    raise FeatxError(
        f"the features are of the network {name}, whose file {file} with SHA-256 {digest[:16]} is "
        f"not in {', '.join(sorted({str(path.parent) for path in tried})) or 'a named folder'}"
        f"{others if found else ''}. Copy it and its card to the folder of the model, or give "
        "their folder by --weights-dir (weights_dir=)"
    )
