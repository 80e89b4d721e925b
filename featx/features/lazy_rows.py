"""Rows that stay on disk until they are indexed."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK_BYTES = 16 * 2**20

Rows = npt.NDArray[np.float32]


class LazyRows:
    """Rows of concatenated arrays, read only where they are indexed by slices or row numbers.

    Blocks of columns are in memory, mapped, or read from a file.

    Examples
    --------
    >>> lazy = LazyRows([np.eye(3, dtype=np.float32), np.ones((3, 1), np.float32)])
    >>> lazy.shape, lazy.select(np.array([2, 0]))[:1].tolist()
    ((3, 4), [[0.0, 0.0, 1.0, 1.0]])
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, blocks: Sequence[Any], rows: npt.NDArray[np.int64] | None = None) -> None:
        self.blocks = tuple(blocks)
        self._rows = np.arange(len(blocks[0])) if rows is None else rows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self._rows), sum(block.shape[1] for block in self.blocks)

    @property
    def nbytes(self) -> int:
        """Bytes that the rows would take in memory."""
        rows, columns = self.shape
        return rows * columns * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: Any) -> Rows:
        rows = self._rows[which]
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            # Consecutive rows are read in one piece.
            rows = slice(int(rows[0]), int(rows[0]) + len(rows))
        pieces = [np.asarray(block[rows]) for block in self.blocks]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray:
        return np.array(self[:], dtype=dtype, copy=copy)

    def select(self, rows: npt.NDArray[np.int64]) -> LazyRows:
        """Return some of the rows, without reading them."""
        return LazyRows(self.blocks, self._rows[rows])


def consecutive_runs(numbers: npt.NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Yield places of consecutive numbers, and the numbers themselves, both as slices.

    Examples
    --------
    >>> list(consecutive_runs(np.array([4, 5, 1])))
    [(slice(0, 2, None), slice(4, 6, None)), (slice(2, 3, None), slice(1, 2, None))]
    """
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    for start, stop in pairwise([0, *breaks.tolist(), len(numbers)]):
        if stop > start:
            yield slice(start, stop), slice(int(numbers[start]), int(numbers[stop - 1]) + 1)


class _FileRows:
    """Rows of a file that cannot be mapped, because the address space is limited."""

    def __init__(self, path: Path, offset: int, shape: tuple[int, int]) -> None:
        self.path = path
        self.offset = offset
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: slice | npt.NDArray[np.int64]) -> Rows:
        numbers = np.arange(len(self))[which]
        width = self.shape[1]
        values = np.empty((len(numbers), width), dtype=np.float32)
        for place, rows in consecutive_runs(numbers):
            start, count = self.offset + rows.start * width * 4, (rows.stop - rows.start) * width
            read = np.fromfile(self.path, np.float32, count, offset=start)
            values[place] = read.reshape(-1, width)
        return values


def open_rows(path: Path, offset: int, shape: tuple[int, int]) -> Rows:
    """Open consecutive rows of float32 in a file, without reading them."""
    try:
        return np.memmap(path, dtype=np.float32, mode="r", offset=offset, shape=shape)
    except (OSError, MemoryError) as error:
        if getattr(error, "errno", errno.ENOMEM) != errno.ENOMEM:
            raise
    lazy: Any = LazyRows([_FileRows(path, offset, shape)])
    return lazy


def row_blocks(
    X: Rows, rows: npt.NDArray[np.int64] | None = None, size: int = BLOCK_BYTES
) -> Iterator[tuple[slice, Rows]]:
    """Read rows block by block, each with its place in the result.

    Examples
    --------
    >>> [block.shape for _, block in row_blocks(np.zeros((5, 2), np.float32), size=16)]
    [(2, 2), (2, 2), (1, 2)]
    """
    count = len(X) if rows is None else len(rows)
    step = max(1, size // max(1, X.shape[1] * X.dtype.itemsize))
    for start in range(0, count, step):
        place = slice(start, min(start + step, count))
        yield place, X[place] if rows is None else X[rows[place]]


def take(X: Rows, rows: npt.NDArray[np.int64]) -> Rows:
    """Select rows of an array, or of lazy rows without reading them."""
    lazy: Any = X
    selected: Rows = lazy.select(rows) if isinstance(X, LazyRows) else X[rows]
    return selected
