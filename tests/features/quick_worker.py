"""Preloaded by Dask workers under test: a quick engine, and images that end their reader.

$FEATX_TEST_FAULTS names a folder. Its file ``deadly`` lists digests whose reading ends the
process, ``slow`` holds the seconds that a step of the engine takes, ``drifting`` the address of a
worker whose features are others.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from distributed import get_worker

from featx.features import cluster_worker, embedding
from tests.features.worker import QuickEngine

FAULTS = Path(os.environ["FEATX_TEST_FAULTS"])


def fault(name):
    path = FAULTS / name
    return path.read_text().split() if path.exists() else []


class FaultyEngine(QuickEngine):
    def embed(self, pixels):
        time.sleep(float((fault("slow") or [0])[0]))
        return super().embed(pixels) * (2 if get_worker().address in fault("drifting") else 1)


def make_engine(self):
    return FaultyEngine(self.backbone.features)


def read(self, index, colour="grey"):
    if self.digests[index] in fault("deadly"):
        os._exit(3)
    return original(self, index, colour)


original = cluster_worker._KnownImages.read
cluster_worker._KnownImages.read = read
embedding.Embedding._make_engine = make_engine
