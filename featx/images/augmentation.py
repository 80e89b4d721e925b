"""Views of an image, rendered by one composed and antialiased warp."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from featx.errors import UsageError, find_name
from featx.images.framing import SQUASH, Framing
from featx.runtime.process_state import image_state

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Range = tuple[float, float]


@dataclass(frozen=True)
class Augmentation:
    """Configure random changes of augmented views; view 0 is always unchanged.

    Geometry is one affine map from view to image, so that no pixel is resampled twice. Pixels
    outside the image repeat its border. ``"radiograph"`` suits frozen features; ``"ramirez"``
    reproduces the training of the report of 2022.

    Parameters
    ----------
    crop_area : (float, float), default=(1, 1)
        Range of the proportion of the image's area that a view shows, above 0, at most 1.
    crop_aspect : (float, float), default=(1, 1)
        Range of the crop's aspect ratio (width / height) relative to the image's.
    zoom : (float, float), default=(1, 1)
        Range of the factors of the view's width and height in the image, drawn separately, as in
        Keras' ``zoom_range``; above 1 the view shows more than the image.
    shift : float, default=0
        Largest shift of the view's center, as a proportion of width and height.
    rotation : float, default=0
        Largest rotation in either direction, in degrees.
    gamma : (float, float), default=(1, 1)
        Range of the exponent of intensities, log-uniform.
    contrast : (float, float), default=(1, 1)
        Range of the factor of differences from the mean intensity.
    brightness : float, default=0
        Largest offset of intensities in either direction, as a proportion of the full range.
    flip : bool, default=False
        Whether half of the views are mirrored; not for chest X-rays, where it moves the heart.

    Examples
    --------
    >>> Augmentation.named("ramirez").rotation
    30.0
    >>> Augmentation(rotation=5).rotation
    5
    """

    crop_area: Range = (1.0, 1.0)
    crop_aspect: Range = (1.0, 1.0)
    zoom: Range = (1.0, 1.0)
    shift: float = 0.0
    rotation: float = 0.0
    gamma: Range = (1.0, 1.0)
    contrast: Range = (1.0, 1.0)
    brightness: float = 0.0
    flip: bool = False

    def __post_init__(self) -> None:
        for name in ("crop_area", "crop_aspect", "zoom", "gamma", "contrast"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UsageError(f"{name}={(low, high)}: a range needs 0 < low <= high")
        if self.crop_area[1] > 1:
            raise UsageError(
                f"crop_area={self.crop_area}: a crop's proportion of the area is at most 1"
            )
        for name in ("shift", "rotation", "brightness"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"{name}={getattr(self, name)}: give the largest amount, 0 or more"
                )

    @classmethod
    def named(cls, name: str) -> Augmentation:
        """Return the policy of a name.

        Parameters
        ----------
        name : {"none", "ramirez", "radiograph"}
            Name of the policy, see `POLICIES`.

        Returns
        -------
        Augmentation

        Raises
        ------
        UsageError
            If there is no policy of this name.
        """
        return POLICIES[find_name("augmentation policy", name, POLICIES)]

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as plain values, for a recipe; a dict of float, bool and lists."""
        return {
            name: [float(bound) for bound in value]
            if isinstance(value, tuple | list)
            else value
            if isinstance(value, bool)
            else float(value)
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Augmentation:
        """Return the policy that `to_dict` wrote."""
        ranges: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**ranges)


POLICIES: dict[str, Augmentation] = {
    "none": Augmentation(),
    # Keras' generator in Ramírez Cámara 2022: rotation 30 degrees, zoom 0.2, shifts 0.1, no flip.
    "ramirez": Augmentation(rotation=30.0, zoom=(0.8, 1.2), shift=0.1),
    # Chosen over wider crops by scripts/bench/generalization.py.
    "radiograph": Augmentation(
        crop_area=(0.5, 1.0),
        crop_aspect=(0.8, 1.25),
        rotation=10.0,
        gamma=(0.6, 1.6),
        contrast=(0.7, 1.3),
    ),
}


@image_state()
def make_view(
    image: npt.NDArray,
    digest: str,
    view: int,
    size: tuple[int, int],
    augmentation: Augmentation,
    random_state: int = 0,
    framing: Framing = SQUASH,
) -> npt.NDArray[np.float32]:
    """Render one view of an image, intensities 0 to 255; number 0 is the image as it is framed.

    The image's digest seeds the view, together with policy, `random_state` and number only. By
    default the aspect ratio is not kept: padding would show it to the network, and in some data
    sets it predicts the class.

    Examples
    --------
    >>> image = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> make_view(image, "ab12", 0, (32, 32), Augmentation())[0, :3]
    array([0.5, 2.5, 4.5], dtype=float32)
    """
    if view == 0 and framing.filter != "area":
        return framing.apply(image, size)
    image = framing.region(image, size)
    if view == 0:
        return _warp(image, np.eye(3), size)
    generator = _generator(digest, augmentation, random_state, view)
    pixels = _warp(image, _draw_geometry(generator, augmentation, image.shape), size)
    return _jitter(pixels, generator, augmentation)


def _generator(
    digest: str, augmentation: Augmentation, random_state: int, view: int
) -> np.random.Generator:
    text = f"{digest}|{sorted(augmentation.to_dict().items())}|{random_state}|{view}"
    entropy = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    # NumPy guarantees PCG64's stream for a seed.
    return np.random.Generator(np.random.PCG64(entropy))


def _draw_geometry(
    generator: np.random.Generator, augmentation: Augmentation, shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Draw the map from the view to the image, both as squares from -1 to 1."""
    # All are drawn always, so that no parameter's range shifts another's draw.
    area, aspect, place_x, place_y, zoom_x, zoom_y, shift_x, shift_y, turn, mirror = (
        generator.random(10)
    )
    kept = _between(augmentation.crop_area, area)
    ratio = math.exp(_between(_logarithm(augmentation.crop_aspect), aspect))
    crop_x = min(1.0, math.sqrt(kept * ratio))
    crop_y = min(1.0, math.sqrt(kept / ratio))
    scale_x = crop_x * _between(augmentation.zoom, zoom_x)
    scale_y = crop_y * _between(augmentation.zoom, zoom_y)
    center_x = (2 * place_x - 1) * (1 - crop_x) + 2 * augmentation.shift * (2 * shift_x - 1)
    center_y = (2 * place_y - 1) * (1 - crop_y) + 2 * augmentation.shift * (2 * shift_y - 1)
    angle = math.radians(augmentation.rotation * (2 * turn - 1))
    if augmentation.flip and mirror < 0.5:
        scale_x = -scale_x
    # The image is rotated in its own pixels: in squashed ones a rotation would shear it.
    height, width = shape[:2]
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = np.array([[cosine, -sine * height / width], [sine * width / height, cosine]])
    matrix = np.eye(3)
    matrix[:2, :2] = turned @ np.diag([scale_x, scale_y])
    matrix[:2, 2] = center_x, center_y
    return matrix


def _between(bounds: Range, fraction: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * fraction


def _logarithm(bounds: Range) -> Range:
    return math.log(bounds[0]), math.log(bounds[1])


def _warp(
    image: npt.NDArray, square_map: npt.NDArray[np.float64], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Sample the image on a grid finer than its pixels, then average over each view pixel."""
    height, width = image.shape[:2]
    view_height, view_width = size
    # A view pixel's footprint in image pixels, along each of the view's axes.
    to_pixels = np.diag([width / 2, height / 2])
    footprint = to_pixels @ square_map[:2, :2] @ np.diag([2 / view_width, 2 / view_height])
    fine_x, fine_y = (
        max(1, math.ceil(round(float(np.linalg.norm(footprint[:, axis])), 6))) for axis in (0, 1)
    )
    fine_width, fine_height = view_width * fine_x, view_height * fine_y
    to_square = np.linalg.inv(_from_square(fine_width, fine_height))
    pixel_map = _from_square(width, height) @ square_map @ to_square
    image = np.asarray(image, dtype=np.float32)
    if not (pixel_map[0, 1] or pixel_map[1, 0]):
        rows = _weights(height, view_height, fine_y, pixel_map[1, 1], pixel_map[1, 2])
        columns = _weights(width, view_width, fine_x, pixel_map[0, 0], pixel_map[0, 2])
        turned = _apply(columns, _apply(rows, image).swapaxes(0, 1))
        return np.ascontiguousarray(turned.swapaxes(0, 1))
    fine = cv2.warpAffine(
        image,
        pixel_map[:2],
        (fine_width, fine_height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if (fine_x, fine_y) != (1, 1):
        # A view pixel is a whole number of fine pixels: this is their mean.
        fine = cv2.resize(fine, (view_width, view_height), interpolation=cv2.INTER_AREA)
    return np.asarray(fine, dtype=np.float32)


@lru_cache(maxsize=64)
def _weights(pixels: int, view_pixels: int, fine: int, step: float, start: float) -> csr_array:
    """Weigh image pixels in view pixels along one axis, without rotation: faster than a warp."""
    from scipy.sparse import csr_array

    places = step * np.arange(view_pixels * fine) + start
    below = np.floor(places)
    above_fraction = places - below
    ends = np.clip([below, below + 1], 0, pixels - 1).astype(np.int64)
    fractions = np.stack([1 - above_fraction, above_fraction]) / fine
    views = np.tile(np.repeat(np.arange(view_pixels), fine), 2)
    where = (views, ends.ravel())
    return csr_array((fractions.ravel().astype(np.float32), where), shape=(view_pixels, pixels))


def _apply(weights: csr_array, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Map an image's rows."""
    flat = np.ascontiguousarray(image).reshape(len(image), -1)
    return (weights @ flat).reshape(-1, *image.shape[1:])


def _from_square(width: int, height: int) -> npt.NDArray[np.float64]:
    """Map -1..1 to pixel centers; the image's edge is half a pixel outside the first center."""
    return np.array([[width / 2, 0, (width - 1) / 2], [0, height / 2, (height - 1) / 2], [0, 0, 1]])


def _jitter(
    pixels: npt.NDArray, generator: np.random.Generator, augmentation: Augmentation
) -> npt.NDArray[np.float32]:
    gamma_fraction, contrast_fraction, brightness_fraction = generator.random(3)
    if augmentation.gamma != (1.0, 1.0):
        gamma = math.exp(_between(_logarithm(augmentation.gamma), gamma_fraction))
        pixels = 255 * (np.clip(pixels, 0, 255) / 255) ** np.float32(gamma)
    if augmentation.contrast != (1.0, 1.0):
        mean = pixels.mean(dtype=np.float64)
        pixels = mean + (pixels - mean) * _between(augmentation.contrast, contrast_fraction)
    if augmentation.brightness:
        pixels = pixels + 255 * augmentation.brightness * (2 * brightness_fraction - 1)
    return np.clip(pixels, 0, 255).astype(np.float32)
