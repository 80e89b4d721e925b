"""Synthetic chest radiographs: a data set that anyone can have, for the demo and for tests.

Every picture is computed from random numbers; nothing here comes from a patient. A chest is a map
of attenuation (body, lungs, heart, bones, vessels) as a beam meets it from the back; pneumonia puts
some of the lungs' air out. The beam's signal falls exponentially with attenuation, scatter is
added, and film noise, exposure, pose and collimation are drawn for each image, never by class.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from featx.datasets.synthetic.chest import CANVAS, REACH, Chest, Map, draw_opacity
from featx.errors import UsageError
from featx.runtime.progress import progress

__all__ = ["PHANTOM_PATIENT_PATTERN", "make_phantoms", "render_phantom"]

PHANTOM_PATIENT_PATTERN = r"(patient\d+)_"
"""Regular expression whose group is the patient, for names such as ``patient0012_2.jpeg``."""

CLASSES = ("NORMAL", "PNEUMONIA")

NOTE = "SYNTHETIC.txt"
NOTE_TEXT = """\
These images are SYNTHETIC: featx computed them from random numbers. They show no patient, and no
figure measured on them says anything about medicine. patient0012_2.jpeg is image 2 of patient 12.
Made with patients={patients}, seed={random_state}, prevalence={prevalence}, size={size}.
"""


def render_phantom(
    rng: np.random.Generator,
    chest: Chest,
    opacity: Map | None = None,
    *,
    height: int = 256,
    width: int = 256,
) -> npt.NDArray[np.uint8]:
    """Take a radiograph of a chest: pose, noise, exposure and collimation are drawn anew.

    Parameters
    ----------
    opacity : ndarray of float32, shape (320, 320), optional
        Attenuation of a pneumonia, from `draw_opacity`.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        Dense tissue is bright, as on film.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> render_phantom(rng, Chest.draw(rng), height=96, width=128).shape
    (96, 128)
    """
    attenuation = chest.attenuation if opacity is None else chest.attenuation + opacity
    signal = np.exp(-1.15 * _pose(rng, attenuation, height, width))
    noise = rng.standard_normal((height, width), dtype=np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 0.8))
    signal = signal * np.maximum(1 + rng.uniform(0.01, 0.04) * grain / np.sqrt(signal), 0.05)
    signal += rng.uniform(0.02, 0.08)
    return np.round(255 * _expose(rng, -np.log(signal))).astype(np.uint8)


def _pose(rng: np.random.Generator, attenuation: Map, height: int, width: int) -> Map:
    """Show the canvas turned, shifted, zoomed and a little out of proportion."""
    turn, zoom, stretch = rng.normal(0, 0.045), rng.uniform(0.88, 1.08), rng.uniform(0.95, 1.05)
    pixel = CANVAS / (2 * REACH)
    scale = np.diag([2 * pixel * zoom * stretch / width, 2 * pixel * zoom / stretch / height])
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ scale
    start = (CANVAS - 1) / 2 + pixel * rng.normal(0, 0.035, 2)
    start = start - turned @ ((width - 1) / 2, (height - 1) / 2)
    # The tube's focus is no point: its half-shadow softens every edge.
    soft = cv2.GaussianBlur(attenuation, (0, 0), rng.uniform(0.5, 0.9))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix, border = np.column_stack([turned, start]), cv2.BORDER_REPLICATE
    return cv2.warpAffine(soft, matrix, (width, height), flags=flags, borderMode=border)


def _expose(rng: np.random.Generator, film: Map) -> Map:
    """Window the film, set its mean gray to one that is drawn, and darken collimated borders.

    Opacities brighten a film. With its mean set so, brightness tells nothing of the class.
    """
    low, high = np.percentile(film, (rng.uniform(0.5, 4), rng.uniform(98.5, 99.9)))
    gray = np.clip((film - low) / (high - low), 0, 1)
    gamma = np.log(rng.uniform(0.4, 0.62)) / np.log(gray.mean())
    gray = rng.uniform(0.85, 1.0) * gray ** float(gamma) + rng.uniform(0, 0.05)
    height, width = film.shape
    blades = np.where(rng.random(4) < 0.2, rng.uniform(0.01, 0.06, 4), 0)
    top, bottom, left, right = (blades * (height, height, width, width)).astype(int)
    seen = np.full_like(gray, 0.02)
    inside = (slice(top, height - bottom), slice(left, width - right))
    seen[inside] = gray[inside]
    return np.clip(seen, 0, 1)


def make_phantoms(
    folder: str | Path,
    *,
    patients: int = 240,
    images_per_patient: tuple[int, int] = (1, 4),
    size: int = 256,
    prevalence: float = 0.6,
    random_state: int = 0,
) -> list[Path]:
    """Write a synthetic data set as class folders of JPEG files.

    ``folder/NORMAL/patient0007_1.jpeg`` and so on, and ``folder/SYNTHETIC.txt``, which says what
    they are. A patient is of one class and has several images: the same anatomy in other poses
    and exposures. Images made here earlier are replaced.

    Parameters
    ----------
    folder : path-like
        Where to write; it must be new, empty, or written by this function before.
    patients : int, default=240
        How many; at least one of each class.
    images_per_patient : (int, int), default=(1, 4)
        Fewest and most images of a patient.
    size : int, default=256
        Height and width in pixels vary around it, in both classes alike.
    prevalence : float, default=0.6
        Share of the patients with pneumonia.
    random_state : int, default=0
        The same seed gives the same bytes, given the same Pillow and OpenCV.

    Returns
    -------
    list of Path
        The images, by patient.

    Raises
    ------
    UsageError
        If the folder holds something else, or a class would have no patients.
    """
    ill_count = round(prevalence * patients)
    fewest, most = images_per_patient
    if not 0 < ill_count < patients:
        raise UsageError(
            f"{patients} patients at a prevalence of {prevalence} leave a class empty; "
            "ask for more patients or a prevalence nearer 0.5"
        )
    if not 1 <= fewest <= most:
        raise UsageError(f"images_per_patient={images_per_patient}: give 1 <= fewest <= most")
    folder = Path(folder)
    _clear(folder)
    note = NOTE_TEXT.format(
        patients=patients, random_state=random_state, prevalence=prevalence, size=size
    )
    (folder / NOTE).write_text(note, encoding="utf-8")
    ill = np.random.default_rng((random_state, 0)).permutation(patients) < ill_count
    paths: list[Path] = []
    with progress("Making synthetic radiographs", total=patients, unit="patients") as advance:
        for number in range(patients):
            sick = bool(ill[number])
            paths += _write_patient(folder, number, sick, images_per_patient, size, random_state)
            advance()
    return paths


def _write_patient(
    folder: Path,
    number: int,
    ill: bool,
    images_per_patient: tuple[int, int],
    size: int,
    random_state: int,
) -> list[Path]:
    # Streams of their own: whether the patient is ill shifts no draw of anatomy or exposure.
    anatomy, disease, films = (
        np.random.default_rng((random_state, 1 + number, part)) for part in range(3)
    )
    chest = Chest.draw(anatomy)
    opacity = draw_opacity(disease, chest) if ill else None
    paths = []
    for image in range(films.integers(*images_per_patient, endpoint=True)):
        height, width = (int(side) for side in np.round(size * films.uniform(0.9, 1.15, 2)))
        pixels = render_phantom(films, chest, opacity, height=height, width=width)
        name = f"patient{number + 1:04d}_{image + 1}.jpeg"
        paths.append(folder / CLASSES[ill] / name)
        Image.fromarray(pixels).save(paths[-1], quality=90)
    return paths


def _clear(folder: Path) -> None:
    """Make the class folders, without images of an earlier run; touch nothing that is not ours."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / NOTE).is_file():
        raise UsageError(f"{folder} holds other files; give a new folder for synthetic images")
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for old in (folder / name).glob("patient*_*.jpeg"):
            old.unlink()
