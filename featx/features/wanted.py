"""Which rows an extraction wants, in arrays that stay small however many images there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Digests", "WantedRows", "pack_digests", "unpack_digest"]

Digests = npt.NDArray[np.bytes_]
"""SHA-256 digests, 32 bytes each, as they stand in files."""


def pack_digests(digests: Sequence[str]) -> Digests:
    """Turn hexadecimal digests into an array of 32 bytes each.

    Returns
    -------
    ndarray of bytes, shape (len(digests),)
    """
    return np.frombuffer(bytes.fromhex("".join(digests)), dtype="S32")


def unpack_digest(digests: Digests, number: int) -> str:
    """Return one digest in hexadecimal."""
    # NumPy strips zero bytes from the end of a single element, not from a slice.
    return digests[number : number + 1].tobytes().hex()


def _first_bytes(digests: Digests) -> npt.NDArray[np.uint64]:
    """Return the first eight bytes of digests as numbers, in the same order."""
    words = np.ascontiguousarray(digests).view(">u8").reshape(-1, 4)
    return words[:, 0].astype(np.uint64)


class WantedRows:
    """The rows of a matrix to be: the first views of some images, some of which may be equal.

    A cell is a pair (distinct digest, view); it fills one row for each image of that digest.

    Attributes
    ----------
    digests : ndarray of bytes, shape (n_distinct,)
        The distinct ones, sorted.
    first : ndarray of int64, shape (n_distinct,)
        Which image has each of them first.

    Examples
    --------
    >>> wanted = WantedRows(["bb" * 32, "aa" * 32, "bb" * 32], views=2)
    >>> wanted.shape, wanted.first.tolist()
    ((2, 2), [1, 0])
    >>> cells, _ = wanted.cells(pack_digests(["bb" * 32]), np.array([1]))
    >>> rows, source = wanted.rows(cells)
    >>> rows.tolist(), source.tolist()
    ([1, 5], [0, 0])
    """

    def __init__(self, digests: Sequence[str], views: int) -> None:
        self.digests, self.first, inverse = np.unique(
            pack_digests(digests), return_index=True, return_inverse=True
        )
        self.views = views
        starts = _first_bytes(self.digests)
        # Numbers are found many times faster than strings; digests that begin alike, if anybody
        # ever makes some, are found the slow way.
        self._starts = starts if (starts[1:] != starts[:-1]).all() else None
        self._images = np.argsort(inverse, kind="stable")
        self._ends = np.cumsum(np.bincount(inverse, minlength=len(self.digests)))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of distinct images, and of views."""
        return len(self.digests), self.views

    @property
    def n_rows(self) -> int:
        """Number of rows, equal images counted each."""
        return len(self._images) * self.views

    def cells(
        self, digests: Digests, views: npt.NDArray
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Find rows among those that are wanted.

        Parameters
        ----------
        digests : ndarray of bytes, shape (n,)
            Of the rows to look for.
        views : ndarray of int, shape (n,)
            Their views.

        Returns
        -------
        cells : ndarray of int64, shape (n_wanted,)
            Numbers from 0 to ``n_distinct * views - 1``.
        which : ndarray of int64, shape (n_wanted,)
            Which of those given they are.
        """
        if not len(self.digests):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        if self._starts is None:
            place = np.searchsorted(self.digests, digests)
        else:
            place = np.searchsorted(self._starts, _first_bytes(digests))
        place = np.minimum(place, len(self.digests) - 1)
        which = np.flatnonzero(
            (self.digests[place] == digests) & (views >= 0) & (views < self.views)
        )
        return place[which] * self.views + views[which], which

    def rows(
        self, cells: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Tell which rows of the matrix some cells fill.

        Parameters
        ----------
        cells : ndarray of int64, shape (n_cells,)
            As `cells` returns.

        Returns
        -------
        rows : ndarray of int64, shape (n_rows,)
            Ascending.
        which : ndarray of int64, shape (n_rows,)
            Which cell fills each.
        """
        number, view = np.divmod(cells, self.views)
        counts = self._ends[number] - np.where(number > 0, self._ends[number - 1], 0)
        which = np.repeat(np.arange(len(cells)), counts)
        # The place of each row among the images of its digest: 0, 1, ... for each cell anew.
        within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        image = self._images[self._ends[number[which]] - counts[which] + within]
        rows = image * self.views + view[which]
        order = np.argsort(rows)
        return rows[order], which[order]
