"""Find the files of networks in folders, and in the cache of the Hugging Face Hub.

The cache is searched first, then the Hub is asked; nothing else reaches the network.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from featx.backbones._torch import import_package
from featx.backbones.opening import remote_code_trusted
from featx.backbones.spec import Preprocessing
from featx.errors import FeatxError, UsageError
from featx.images.framing import Framing
from featx.runtime.files import file_digest
from featx.runtime.serialization import digest_of_values

logger = logging.getLogger(__name__)

NOT_STATED = "not stated"
NO_OTHER_WAY = "Give an ONNX file of the network with a card instead (onnx:FILE.onnx)"

# In order of preference; all but the first are pickles, read without running their code.
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin", "*.safetensors", "*.pth", "*.pt")

# Height and width of test images: portrait, landscape, and smaller than any input.
_PROBES = ((601, 423), (390, 777), (23, 31))
# Gray levels.
_TOLERANCE = 0.01


def not_reproduced(what: str) -> UsageError:
    """Return the error of a setting that featx cannot follow."""
    return UsageError(f"{what}, which featx does not reproduce. {NO_OTHER_WAY}")


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder, of the first kind that is there."""
    for pattern in _WEIGHTS:
        if found := sorted(folder.glob(pattern)):
            return found
    return []


def folder_digest(folder: Path) -> str:
    """Return one digest of a folder's weights, of its configs, and of the code that they name."""
    configs = [*folder.glob("*config.json")]
    coded = any(b'"auto_map"' in path.read_bytes() for path in configs)
    files = [*configs, *weight_files(folder), *(folder.rglob("*.py") if coded else ())]
    return digest_of_values(
        {path.relative_to(folder).as_posix(): file_digest(path) for path in files}
    )


def license_of(folder: Path) -> str:
    """Return the license that the front matter of a model card names."""
    card = folder / "README.md"
    text = card.read_text("utf-8", "replace") if card.is_file() else ""
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        values = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        values = None
    found = values.get("license") if isinstance(values, dict) else None
    return str(found) if found else NOT_STATED


def find_files(repository: str, wanted: Sequence[str], extra: str) -> Path:
    """Return the folder with files of a repository of the Hub, downloaded if needed.

    `wanted` are names and patterns, of which each must match a file.
    """
    hub = import_package("huggingface_hub", extra)

    def find(**settings: Any) -> Path | None:
        code = ["*.py"] if remote_code_trusted() else []
        patterns = [*wanted, *code]
        folder = Path(hub.snapshot_download(repository, allow_patterns=patterns, **settings))
        return folder if all(any(folder.glob(pattern)) for pattern in wanted) else None

    try:
        if folder := find(local_files_only=True):
            return folder
    # The cache may lack it, or may not exist.
    except Exception as error:
        logger.debug(f"{repository} is not in the cache of the Hugging Face Hub: {error}")
    logger.info(f"Downloading {repository} from the Hugging Face Hub")
    reason = f"it has no file {' or '.join(wanted)}"
    try:
        if folder := find():
            return folder
    # Whatever fails between here and the Hub.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    raise FeatxError(
        f"{repository} is neither a folder nor in the cache of the Hugging Face Hub "
        f"({hub.constants.HF_HUB_CACHE}), and could not be downloaded ({reason}). Download it on a "
        f"machine with a network (hf download {repository} --local-dir FOLDER), and give FOLDER in "
        "place of its name"
    )


def agreeing_framing(
    what: str,
    theirs: Callable[[Image.Image], npt.NDArray],
    framings: Sequence[Framing],
    size: tuple[int, int],
    preprocessing: Preprocessing,
) -> Framing:
    """Return the framing that gives the inputs of the makers, shape (3, height, width)."""
    generator = np.random.Generator(np.random.PCG64(18))
    errors = np.zeros((len(framings), len(_PROBES)))
    for column, shape in enumerate(_PROBES):
        noise = generator.integers(0, 256, (7, 5, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize(shape[::-1], Image.Resampling.BICUBIC)
        try:
            wanted = np.moveaxis(np.asarray(theirs(image), dtype=np.float32), 0, -1)
            for row, framing in enumerate(framings):
                ours = preprocessing(framing.apply(np.asarray(image, dtype=np.float32), size))
                off = np.abs((wanted - ours) * np.asarray(preprocessing.scale))
                errors[row, column] = np.nan_to_num(off, nan=np.inf).max()
        except ValueError as error:
            raise UsageError(f"{what} cannot be reproduced ({error}). {NO_OTHER_WAY}") from error
    worst = errors.max(axis=1)
    if worst.min() > _TOLERANCE:
        raise UsageError(
            f"{what} differs from the framing and normalization of featx by up to "
            f"{worst.min():.2g} gray levels, so its features would not be those of its makers. "
            f"{NO_OTHER_WAY}"
        )
    return framings[int(worst.argmin())]
