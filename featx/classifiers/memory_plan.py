"""What the memory allows of a fit: all at once, fewer at a time, or a matrix that is streamed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from featx.classifiers.cluster import active_client, memory_of_a_fit
from featx.classifiers.parallel import calls_at_a_time
from featx.classifiers.registry import ClassifierRecord
from featx.classifiers.search import Search
from featx.classifiers.streaming import StreamedSearch
from featx.classifiers.training import Fold, TrainingSet
from featx.runtime.memory import usable_memory

__all__ = ["MemoryPlan"]


@dataclass(frozen=True)
class MemoryPlan:
    """What memory there is for a fit, and what it allows."""

    free: int
    fits: int | None

    @classmethod
    def make(
        cls, size: int, memory: str | int | None, folds: int, n_jobs: int | None
    ) -> MemoryPlan:
        """Plan a fit.

        Examples
        --------
        >>> MemoryPlan.make(2**40, "4GiB", folds=5, n_jobs=1).fits
        0
        """
        free, size = usable_memory(memory), max(1, size)
        client = active_client()
        if client is not None:
            share = memory_of_a_fit(client)
            # A worker gets the whole matrix, and of each fit a copy and the scaled rows.
            enough = free > 2 * size and (share is None or share > 3 * size)
            return cls(free if share is None else min(free, share), None if enough else 0)
        # The training images' rows, and the same for each fit.
        possible = max(0, (free // size - 1) // 2)
        wanted = min(calls_at_a_time(n_jobs), folds + 1)
        return cls(free, None if possible >= wanted else int(possible))

    def search(
        self,
        record: ClassifierRecord,
        training: TrainingSet,
        folds: list[Fold],
        random_state: int,
        rows: int,
        n_jobs: int | None,
    ) -> Search:
        """Make the search that the memory allows; see `Search`.

        Where it streams, the matrix is read once here, with a message.
        """
        if self.fits != 0:
            limited = n_jobs if self.fits is None else self.fits
            return Search(record, training, folds, random_state, rows, limited)
        alone = replace(record, shared_fits=None)
        # Patients are sorted again and again: of a million, numbers take a tenth of names.
        _, patients = np.unique(training.patients, return_inverse=True)
        compact = replace(training, patients=patients)
        search = StreamedSearch(alone, compact, folds, random_state, rows, n_jobs, self.free)
        search.read()
        return search
