"""Facts of an image's pixels that are found as it is decoded."""

from __future__ import annotations

import numpy.typing as npt

# Flags: all pixels are the same; the shorter side has fewer pixels than show anatomy.
CONSTANT, TINY = 1, 2

# MedMNIST has 28 pixels.
_LEAST_SIDE = 16


def pixel_facts(gray: npt.NDArray) -> int:
    """Return the flags of gray intensities, shape (height, width).

    Examples
    --------
    >>> import numpy as np
    >>> pixel_facts(np.eye(20)), pixel_facts(np.zeros((9, 20))) == CONSTANT | TINY
    (0, True)
    """
    constant = bool((gray == gray.flat[0]).all())
    return CONSTANT * constant | TINY * (min(gray.shape) < _LEAST_SIDE)
