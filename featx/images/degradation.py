"""Graded degradations of an image, and images of which parts are blacked out.

They act on decoded pixels before any view is made. Noise, the direction of a rotation and the place
of a marker depend on the image's digest alone, so that the same image is always degraded alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from featx.runtime.process_state import image_state

Pixels = npt.NDArray[Any]

# Pixels of the short side of larger images, so that a grade means the same on all of them.
_LARGEST = 512
# Short side that most networks see.
_VIEW = 224
# Short side at which the grades of noise are in gray levels of a pixel.
_NOISE_SIDE = 256


@dataclass(frozen=True, eq=False)
class Degraded:
    """Source of an image's pixels, degraded; grade 1 is the mildest.

    Another image than its original: it has its own digest, and its own rows in the cache.
    """

    source: Any
    name: str
    grade: int

    def loaded(self, content: Any) -> Any:
        """Return the same of what is read of the original."""
        return replace(self, source=content)

    def derived(self, digest: str) -> str:
        """Return the digest of the degraded image from that of its original."""
        return hashlib.sha256(f"{digest} {self.name} {self.grade} format 1".encode()).hexdigest()

    @image_state()
    def apply(self, pixels: npt.NDArray, digest: str) -> npt.NDArray[np.uint8]:
        """Degrade the pixels of the original."""
        amount = (DEGRADATIONS | BLACKED_OUT)[self.name][self.grade - 1]
        seed = hashlib.sha256(f"{digest} {self.name}".encode()).digest()[:16]
        generator = np.random.Generator(np.random.PCG64(int.from_bytes(seed, "big")))
        change = _CHANGES.get(self.name, _black_out)
        changed = change(_reduced(np.asarray(pixels, np.float32), _LARGEST), amount, generator)
        return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def original_of(source: Any) -> Any:
    """Return the source of an image without its degradation."""
    return source.source if isinstance(source, Degraded) else source


def derived_pair(source: Any, digests: tuple[str, str]) -> tuple[str, str]:
    """Return digest and key of a source from those of its original."""
    if not isinstance(source, Degraded):
        return digests
    return source.derived(digests[0]), source.derived(digests[1])


DEGRADATIONS: dict[str, tuple[float, ...]] = {
    "contrast": (0.8, 0.65, 0.5, 0.35, 0.2),  # factor of differences from the mean
    "gamma": (1.25, 1.5, 1.8, 2.2, 2.8),  # exponent of intensities; above 1 darkens
    "blur": (0.003, 0.006, 0.01, 0.015, 0.02),  # standard deviation, of the short side
    "noise": (6.0, 12.0, 20.0, 30.0, 45.0),  # standard deviation in gray levels, of 256
    "JPEG": (50, 30, 18, 10, 5),  # quality
    "rotation": (3.0, 6.0, 10.0, 15.0, 25.0),  # degrees in either direction
    "crop": (0.95, 0.9, 0.85, 0.75, 0.65),  # proportion of height and width that is kept
    "border": (0.02, 0.04, 0.07, 0.11, 0.16),  # black, at each side, of height and width
    "marker": (0.05, 0.08, 0.12, 0.16, 0.22),  # height of white text, of the image's
    "down-sampling": (0.7, 0.5, 0.35, 0.25, 0.18),  # to this proportion of 224 pixels at most
}
"""Amount at each of five grades, by name."""

BLACKED_OUT: dict[str, tuple[float, ...]] = {"center removed": (0.75,), "outer border": (0.9,)}
"""Proportion of height and width around the center that is black, by name of control."""


def _reduced(pixels: Pixels, side: int) -> Pixels:
    """Shrink an image to a short side, if it is larger."""
    factor = side / min(pixels.shape[:2])
    if factor >= 1:
        return pixels
    height, width = (max(1, round(factor * length)) for length in pixels.shape[:2])
    return _resized(pixels, height, width, cv2.INTER_AREA)


def _resized(pixels: Pixels, height: int, width: int, interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.float32)


def _contrast(pixels: Pixels, factor: float, _: np.random.Generator) -> Pixels:
    mean = pixels.mean()
    return mean + (pixels - mean) * np.float32(factor)


def _gamma(pixels: Pixels, exponent: float, _: np.random.Generator) -> Pixels:
    return 255 * (np.clip(pixels, 0, 255) / 255) ** np.float32(exponent)


def _blur(pixels: Pixels, deviation: float, _: np.random.Generator) -> Pixels:
    sigma = deviation * min(pixels.shape[:2])
    return cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _noise(pixels: Pixels, deviation: float, generator: np.random.Generator) -> Pixels:
    # Networks see a mean over the pixels of a large image.
    scale = deviation * max(1.0, min(pixels.shape[:2]) / _NOISE_SIDE)
    noise = generator.standard_normal(pixels.shape[:2], dtype=np.float32)
    return pixels + np.float32(scale) * (noise if pixels.ndim == 2 else noise[..., None])


def _jpeg(pixels: Pixels, quality: float, _: np.random.Generator) -> Pixels:
    whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    content = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED), np.float32)


def _rotation(pixels: Pixels, degrees: float, generator: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    angle = degrees if generator.random() < 0.5 else -degrees
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    border = cv2.BORDER_REPLICATE
    return cv2.warpAffine(pixels, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


def _crop(pixels: Pixels, kept: float, _: np.random.Generator) -> Pixels:
    return pixels[_center(pixels, kept)]


def _border(pixels: Pixels, width: float, _: np.random.Generator) -> Pixels:
    top, left = (max(1, round(width * length)) for length in pixels.shape[:2])
    return cv2.copyMakeBorder(pixels, top, top, left, left, cv2.BORDER_CONSTANT, value=0)


def _marker(pixels: Pixels, height: float, generator: np.random.Generator) -> Pixels:
    text, font, size = "LR"[int(generator.integers(2))] + " 07", cv2.FONT_HERSHEY_SIMPLEX, 22.0
    letters = max(2, round(height * pixels.shape[0]))
    line = max(1, letters // 8)
    width = cv2.getTextSize(text, font, letters / size, line)[0][0]
    left = 2 * line if generator.random() < 0.5 else max(0, pixels.shape[1] - width - 2 * line)
    place, mask = (left, letters + 2 * line), np.zeros(pixels.shape[:2], np.uint8)
    cv2.putText(mask, text, place, font, letters / size, 255, line)
    opaque = mask.astype(np.float32) / 255
    opaque = opaque if pixels.ndim == 2 else opaque[..., None]
    return pixels * (1 - opaque) + 255 * opaque


def _down_sampling(pixels: Pixels, proportion: float, _: np.random.Generator) -> Pixels:
    small = _reduced(pixels, max(1, round(proportion * min(_VIEW, *pixels.shape[:2]))))
    height, width = pixels.shape[:2]
    return _resized(small, height, width, cv2.INTER_LINEAR)


def _black_out(pixels: Pixels, proportion: float, _: np.random.Generator) -> Pixels:
    kept = pixels.copy()
    kept[_center(pixels, proportion)] = 0
    return kept


def _center(pixels: Pixels, proportion: float) -> tuple[slice, slice]:
    """Return the middle of an image, of a proportion of its height and width."""
    cuts = [round((1 - proportion) / 2 * length) for length in pixels.shape[:2]]
    rows, columns = (
        slice(cut, length - cut) for cut, length in zip(cuts, pixels.shape[:2], strict=True)
    )
    return rows, columns


_CHANGES: dict[str, Callable[[Pixels, float, np.random.Generator], Any]] = {
    "contrast": _contrast,
    "gamma": _gamma,
    "blur": _blur,
    "noise": _noise,
    "JPEG": _jpeg,
    "rotation": _rotation,
    "crop": _crop,
    "border": _border,
    "marker": _marker,
    "down-sampling": _down_sampling,
}
