"""Networks on OpenVINO kept on disk, so that later runs need neither TensorFlow nor a conversion.

Each file is named by the checksum of its bytes; a note, named by the digest of everything that
decides the network, names it.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.backbones._openvino import OneByOne, import_openvino
from featx.errors import FeatxError
from featx.runtime.files import file_name_of, put_bytes, set_aside
from featx.runtime.serialization import digest_of_values, plain_json

logger = logging.getLogger(__name__)

# Folder of converted networks in a cache.
CONVERTED = "networks"

_NETWORK, _NUMBERS = "network.xml", "network.bin"


def kept_network(
    folder: Path | None, name: str, key: Mapping[str, Any], convert: Callable[[], Any]
) -> OneByOne:
    """Return a compiled network, converted only where the folder does not hold it.

    The key is everything that decides the network, as JSON values; no folder keeps nothing.
    """
    if folder is None:
        return OneByOne(convert())
    kept = NetworkFolder(folder)
    content = kept.read(name, key)
    if content is not None:
        return OneByOne(unpack(content))
    logger.debug(f"Converting {name} to OpenVINO.")
    network = convert()
    try:
        content = pack(network)
        # Now as later, what is compiled has gone through the form of the file.
        network = unpack(content)
        kept.put(name, key, content)
    except (FeatxError, OSError, RuntimeError) as error:
        logger.warning(f"{name} must be converted again in the next run: {error}")
    return OneByOne(network)


@dataclass(frozen=True)
class NetworkFolder:
    """Folder of packed networks and of notes that name them."""

    folder: Path

    def path(self, name: str, digest: str) -> Path:
        """Return the path of a network."""
        return self.folder / f"{file_name_of(name)}-{digest}.zip"

    def read(self, name: str, key: Any) -> bytes | None:
        """Read the network of a key; None if it is missing, or damaged and set aside."""
        try:
            digest = str(json.loads(self._note(name, key).read_bytes())["network"])
            path = self.path(name, digest)
            content = path.read_bytes()
        except (OSError, ValueError, LookupError, TypeError):
            return None
        if hashlib.sha256(content).hexdigest() == digest:
            _note_use(self._note(name, key), path)
            return content
        logger.warning(
            f"The network {path} is damaged: its checksum does not match. {set_aside(path)}"
        )
        return None

    def put(self, name: str, key: Mapping[str, Any], network: bytes) -> Path:
        """Write a network, and the note that names it; return its path."""
        digest = hashlib.sha256(network).hexdigest()
        put_bytes(self.path(name, digest), network)
        self.put_note(name, key, {"network": digest, **key})
        return self.path(name, digest)

    def read_note(self, name: str, key: Any) -> dict[str, Any] | None:
        """Read the facts of a key, or return None if there are none."""
        with suppress(OSError, ValueError):
            facts = json.loads(self._note(name, key).read_bytes())
            _note_use(self._note(name, key))
            return facts if isinstance(facts, dict) else None
        return None

    def put_note(self, name: str, key: Any, facts: Mapping[str, Any]) -> None:
        """Write the facts of a key."""
        put_bytes(self._note(name, key), plain_json(facts).encode())

    def notes(self, name: str) -> list[Path]:
        """Return the paths of the notes of a name, the newest first."""
        paths = self.folder.glob(f"{glob.escape(file_name_of(name))}-*.json")
        return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)

    def _note(self, name: str, key: Any) -> Path:
        return self.folder / f"{file_name_of(name)}-{digest_of_values(key)}.json"


def _note_use(*paths: Path) -> None:
    """Set the times by which `featx cache prune` finds what is idle."""
    with suppress(OSError):
        for path in paths:
            os.utime(path)


def serialized(model: Any) -> dict[str, bytes]:
    """Return the two files of an OpenVINO model by their endings, ``.xml`` and ``.bin``."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in (_NETWORK, _NUMBERS)]
        import_openvino().serialize(model, *paths)
        return {path.suffix: path.read_bytes() for path in paths}


def pack(model: Any) -> bytes:
    """Return an OpenVINO model as one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in zip((_NETWORK, _NUMBERS), serialized(model).values(), strict=True):
            # A date would give equal networks different digests.
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content, zipfile.ZIP_STORED)
    return buffer.getvalue()


def unpack(network: bytes) -> Any:
    """Return the OpenVINO model that `pack` packed."""
    try:
        with zipfile.ZipFile(io.BytesIO(network)) as archive:
            parts = [archive.read(name) for name in (_NETWORK, _NUMBERS)]
        return import_openvino().Core().read_model(*parts)
    except (zipfile.BadZipFile, KeyError, RuntimeError) as error:
        raise FeatxError(f"this is not a network kept by featx: {error}") from error
