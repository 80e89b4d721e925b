"""Reference images of the network check: drawn by formulas, the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]


def reference_images(size: tuple[int, int], color: str = "gray") -> Pixels:
    """Draw six images of different structure, none symmetric, in whole numbers from 0 to 255.

    Their shape is (6, height, width), of color (6, height, width, 3) with a gray curve a channel.

    Examples
    --------
    >>> reference_images((32, 48)).mean(axis=(1, 2)).round()
    array([128.,  49., 127., 128.,  95.,  93.], dtype=float32)
    """
    height, width = size
    y, x = np.meshgrid(
        (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"
    )

    def ellipse(center_x: float, center_y: float, radius_x: float, radius_y: float) -> npt.NDArray:
        distance = np.hypot((x - center_x) / radius_x, (y - center_y) / radius_y)
        return 1 / (1 + np.exp((distance - 1) * 12))

    waves = [np.cos(2 * np.pi * (a * x + b * y) + c) for a, b, c in _WAVES]
    lungs = ellipse(0.3, 0.47, 0.15, 0.3) + ellipse(0.71, 0.45, 0.13, 0.27)
    chest = ellipse(0.5, 0.6, 0.45, 0.6) - 0.8 * lungs + 0.5 * ellipse(0.57, 0.62, 0.12, 0.13)
    tiles = 0.25 + 0.15 * ((np.floor(6 * x) + np.floor(9 * y)) % 2)
    drawn = [
        0.7 * x + 0.3 * y,
        ellipse(0.35, 0.3, 0.3, 0.2),
        0.5 + 0.5 * np.sin(40 * x**2 + 6 * y),
        np.sum(waves, axis=0),
        chest,
        tiles + 0.6 * ((x > 0.7) & (y < 0.25)) - 0.25 * ((x < 0.1) & (y > 0.8)),
    ]
    gray = np.stack([(each - each.min()) / np.ptp(each) for each in drawn])
    if color == "rgb":
        gray = np.stack([gray, gray**2, 1 - gray], axis=-1)
    return np.round(255 * gray).astype(np.float32)


# Cycles along x and y, and phase.
_WAVES = ((1, 0.5, 0.3), (2.5, -1, 1.1), (-3, 5, 2.0), (7, 3, 0.4), (11, -8, 2.7))
