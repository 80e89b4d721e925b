"""Files of a training in progress: its log and its checkpoints, valid for one key."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.baselines.callbacks import EpochBackup
from featx.runtime.files import put_bytes

logger = logging.getLogger(__name__)

Row = dict[str, float]


class DamagedCheckpointError(Exception):
    """A checkpoint cannot be read."""


@contextmanager
def damage_noticed() -> Iterator[None]:
    """Turn the errors of reading a damaged file into a `DamagedCheckpointError`."""
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DamagedCheckpointError(str(error)) from error


@dataclass(frozen=True)
class Session:
    """Files of one training: ``log.csv``, and ``checkpoints`` until and after its end."""

    folder: Path
    key: str

    @property
    def log(self) -> Path:
        """Path of the log that CSVLogger writes."""
        return self.folder / "log.csv"

    @property
    def checkpoints(self) -> Path:
        """Folder of backups and best weights."""
        return self.folder / "checkpoints"

    @property
    def best_weights(self) -> Path:
        """Path of the weights of the best epoch."""
        return self.checkpoints / "best.weights.h5"

    @property
    def finished(self) -> bool:
        """Whether the training is finished."""
        return self._read().get("finished", False)

    def backup(self, stage: int) -> EpochBackup:
        """Return the backup of a stage, from 1."""
        return EpochBackup(self.checkpoints / f"stage-{stage}")

    def open(self) -> None:
        """Start again unless the files belong to this training."""
        if self._read().get("key") == self.key:
            return
        if self.checkpoints.is_dir():
            logger.info(
                f"{self.checkpoints} belongs to a training with other settings, images or "
                "versions; this one starts at its first epoch and replaces it."
            )
        self.restart()

    def restart(self) -> None:
        """Delete log and checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        self._write(finished=False)

    def finish(self) -> None:
        """Mark the training as finished; only the best weights stay."""
        self._write(finished=True)
        for folder in self.checkpoints.glob("stage-*"):
            shutil.rmtree(folder)

    def read_log(self, epochs: int | None) -> list[Row]:
        """Read the log; keep its first `epochs` lines, since a killed epoch may be logged."""
        if epochs == 0:
            self.log.unlink(missing_ok=True)
            return []
        with damage_noticed():
            lines = self.log.read_text(encoding="utf-8").splitlines()
            kept = lines if epochs is None else lines[: epochs + 1]
            rows = [{name: float(row[name]) for name in row} for row in csv.DictReader(kept)]
        if len(rows) < (epochs or 1):
            raise DamagedCheckpointError(f"{self.log} has {len(rows)} of {epochs} epochs")
        if len(kept) < len(lines):
            put_bytes(self.log, "".join(f"{line}\r\n" for line in kept).encode())
        return rows

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads((self.checkpoints / "session.json").read_bytes())
        except (OSError, ValueError):
            return {}

    def _write(self, *, finished: bool) -> None:
        content = json.dumps({"key": self.key, "finished": finished})
        put_bytes(self.checkpoints / "session.json", content.encode())
