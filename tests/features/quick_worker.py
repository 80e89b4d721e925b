"""Preloaded by Dask workers under test: a quick engine, and images that end their reader.

$FEATX_TEST_FAULTS names a folder. Its file ``deadly`` lists digests whose reading ends the
process, ``slow`` holds the seconds that a step of the engine takes, ``drifting`` the address of a
worker whose features are others.
"""

import hashlib
import os
import time
from pathlib import Path

from featx.features import pipeline
from featx.images import sources
from tests.features.worker import QuickEngine


def fault(name):
    path = Path(os.environ["FEATX_TEST_FAULTS"]) / name
    return path.read_text().split() if path.exists() else []


def dask_setup(worker):
    """Change what this process does, and no process that merely imports this file."""
    read = sources.read_image

    class FaultyEngine(QuickEngine):
        def embed(self, pixels):
            time.sleep(float((fault("slow") or [0])[0]))
            return super().embed(pixels) * (2 if worker.address in fault("drifting") else 1)

    def read_or_die(content, color):
        if hashlib.sha256(content).hexdigest() in fault("deadly"):
            os._exit(3)
        return read(content, color)

    sources.read_image = read_or_die
    pipeline.ENGINES.factory = lambda embedder: FaultyEngine(embedder.backbone.features)
