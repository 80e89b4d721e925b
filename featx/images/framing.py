"""Framing: which region of an image a network sees, and how it is resized to the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from featx.errors import UsageError, check_names, find_name

Fit = Literal["squash", "shorter", "square"]
Filter = Literal["area", "box", "bilinear", "hamming", "bicubic", "lanczos", "skimage"]
Center = Literal["round", "floor"]

_MIDDLE_GRAY = 127.5

Size = tuple[int, int]


@dataclass(frozen=True)
class Framing:
    """Configure how the whole image or its center becomes a network's input.

    Parameters
    ----------
    fit : {"squash", "shorter", "square"}, default="squash"
        Squash the whole image to the input's size; or resize its shorter side to `edge` and crop
        the center, as torchvision, timm and Hugging Face do; or crop the largest square of the
        center and resize it, as TorchXRayVision does.
    filter : str, default="area"
        ``"area"`` is the mean over each pixel's area. ``"box"``, ``"bilinear"``, ``"hamming"``,
        ``"bicubic"`` and ``"lanczos"`` are Pillow's, antialiased and rounded to 8 bits;
        ``"skimage"`` is that of `skimage.transform.resize` with default settings.
    edge : int, default=0
        Length of the shorter side in pixels before the crop; only for ``"shorter"``.
    center : {"round", "floor"}, default="round"
        Rounding of the crop's place: as torchvision, or as Hugging Face transformers.
    rounded : bool, default=True
        Whether Pillow's filters round what was 8 bits to 8 bits again.

    Examples
    --------
    >>> Framing.from_value({"fit": "shorter", "edge": 256, "filter": "bicubic"}).edge
    256
    """

    fit: Fit = "squash"
    filter: Filter = "area"
    edge: int = 0
    center: Center = "round"
    rounded: bool = True

    def __post_init__(self) -> None:
        for name, known in (("fit", Fit), ("filter", Filter), ("center", Center)):
            object.__setattr__(self, name, find_name(name, getattr(self, name), get_args(known)))
        if (self.edge > 0) != (self.fit == "shorter"):
            raise UsageError(
                f"framing {self.fit!r} with edge={self.edge}: the length of the shorter side "
                "before the crop is for 'shorter', which needs it"
            )
        if self.filter == "area" and self.fit != "squash":
            raise UsageError(f"the filter 'area' is for 'squash' only, not for {self.fit!r}")

    @classmethod
    def from_value(cls, value: str | Mapping[str, Any]) -> Framing:
        """Return the framing that `to_value` returned; text is the name of a fit."""
        values = {"fit": value} if isinstance(value, str) else dict(value)
        check_names("setting of a framing", values, cls.__dataclass_fields__)
        return cls(**values)

    def to_value(self) -> str | dict[str, Any]:
        """Return plain values for a recipe."""
        return "squash" if self == SQUASH else asdict(self)

    def check_size(self, size: Size) -> None:
        """Refuse an input that is larger than the resized image."""
        if 0 < self.edge < max(size):
            raise UsageError(
                f"the shorter side is resized to {self.edge} pixels, and a crop of {size[0]} x "
                f"{size[1]} does not fit; give an edge of at least {max(size)}"
            )

    def region(self, image: npt.NDArray, size: Size) -> npt.NDArray:
        """Return the part of an image that its input of this size shows, not resized yet."""
        if self.fit == "squash":
            return image
        height, width = image.shape[:2]
        if self.fit == "square":
            side = min(height, width)
            return _cut(image, height // 2 - side // 2, width // 2 - side // 2, (side, side))
        # In pixels of the image.
        scale = min(height, width) / self.edge
        crop = [
            max(1, min(side, round(n * scale)))
            for n, side in zip(size, (height, width), strict=True)
        ]
        return _cut(image, (height - crop[0]) // 2, (width - crop[1]) // 2, (crop[0], crop[1]))

    def apply(self, image: npt.NDArray, size: Size) -> npt.NDArray[np.float32]:
        """Return an image as the input shows it, intensities 0 to 255; not for ``"area"``."""
        if self.fit != "shorter":
            return self._resize(self.region(image, size), size)
        height, width = image.shape[:2]
        shorter = min(height, width)
        # As torchvision and transformers, which round down.
        resized = self._resize(
            image, (int(self.edge * height / shorter), int(self.edge * width / shorter))
        )
        over = [now - wanted for now, wanted in zip(resized.shape[:2], size, strict=True)]
        top, left = (n // 2 if self.center == "floor" else round(n / 2) for n in over)
        return _cut(resized, top, left, size)

    def _resize(self, image: npt.NDArray, size: Size) -> npt.NDArray[np.float32]:
        if self.filter == "skimage":
            return _resize_as_skimage(image, size)
        resample = Image.Resampling[self.filter.upper()]

        def resize(pixels: npt.NDArray) -> npt.NDArray:
            return np.asarray(Image.fromarray(pixels).resize(size[::-1], resample))

        # Views are float32; Pillow rounds only what was 8 bits.
        exact = image.astype(np.uint8)
        if self.rounded and np.array_equal(exact, image):
            return resize(exact).astype(np.float32)
        channels = np.atleast_3d(np.asarray(image, dtype=np.float32))
        resized = [resize(channel) for channel in np.moveaxis(channels, 2, 0)]
        pixels = np.clip(np.stack(resized, axis=2), 0, 255)
        return pixels if image.ndim == 3 else pixels[..., 0]


SQUASH = Framing()


def _cut(image: npt.NDArray, top: int, left: int, size: Size) -> npt.NDArray:
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])


def _resize_as_skimage(image: npt.NDArray, size: Size) -> npt.NDArray[np.float32]:
    """Blur and interpolate; outside is 0, which is middle gray where pixels are -1024 to 1024."""
    from scipy import ndimage

    pixels = np.asarray(image, dtype=np.float32)
    factors = [n / wanted for n, wanted in zip(image.shape[:2], size, strict=True)]
    more = [0.0] * (image.ndim - 2)
    if max(factors) > 1:
        sigma = [max(0.0, (factor - 1) / 2) for factor in factors]
        pixels = ndimage.gaussian_filter(
            pixels, [*sigma, *more], mode="constant", cval=_MIDDLE_GRAY
        )
    zoom = [1 / factor for factor in factors] + [1.0] * (image.ndim - 2)
    resized = ndimage.zoom(
        pixels, zoom, order=1, mode="grid-constant", cval=_MIDDLE_GRAY, grid_mode=True
    )
    return np.clip(resized, np.min(image), np.max(image))
