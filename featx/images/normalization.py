"""Normalization of each image's intensities across exposures and detectors."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from featx.errors import find_name
from featx.runtime.process_state import image_state

# Letters, tubes and the collimator's edge are outside these percentiles.
_PERCENTILES = (1.0, 99.0)


@image_state()
def normalize(image: npt.NDArray, method: str) -> npt.NDArray:
    """Normalize an image's intensities (0 to 255) by its own; colors separately.

    References
    ----------
    .. [1] K. Zuiderveld (1994), "Contrast limited adaptive histogram equalization", in Graphics
       Gems IV, 474-485.

    Examples
    --------
    >>> image = np.array([[10, 10, 20, 40]], dtype=np.uint8)
    >>> normalize(image, "equalize").tolist()
    [[0, 0, 128, 255]]
    """
    function = NORMALIZATIONS[check_normalization(method)]
    if image.ndim == 2:
        return function(image)
    return np.stack([function(channel) for channel in np.moveaxis(image, 2, 0)], axis=2)


def check_normalization(method: str) -> str:
    """Return the registered spelling of a name."""
    return find_name("normalization", method, NORMALIZATIONS)


def _percentile(image: npt.NDArray) -> npt.NDArray:
    low, high = np.percentile(image, _PERCENTILES)
    if high <= low:
        return np.zeros(image.shape, dtype=np.float32)
    stretched = (image.astype(np.float32) - low) * (255 / (high - low))
    return np.clip(stretched, 0, 255).astype(np.float32)


def _to_uint8(image: npt.NDArray) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(np.clip(np.rint(image), 0, 255).astype(np.uint8))


NORMALIZATIONS: dict[str, Callable[[npt.NDArray], npt.NDArray]] = {
    "none": lambda image: image,
    "percentile": _percentile,
    "equalize": lambda image: cv2.equalizeHist(_to_uint8(image)),
    # Clip limit and tiles.
    "clahe": lambda image: cv2.createCLAHE(2.0, (8, 8)).apply(_to_uint8(image)),
}
