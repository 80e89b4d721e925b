"""Synthetic chest radiographs for the demo and for tests; none comes from a patient.

A chest is a map of attenuation (body, lungs, heart, bones, vessels); pneumonia replaces some of the
air of the lungs. Noise, exposure, pose and collimation are drawn for each image, independently of
its class.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from featx.errors import UsageError
from featx.runtime.files import put_bytes
from featx.runtime.progress import progress

PHANTOM_PATIENT_PATTERN = r"(patient\d+)_"
"""Regular expression whose group is the patient, for names such as ``patient0012_2.jpeg``."""

CLASSES = ("NORMAL", "PNEUMONIA")
NOTE = "SYNTHETIC.txt"
NOTE_TEXT = """\
These images are SYNTHETIC: featx computed them from random numbers. They show no patient, and no
figure measured on them says anything about medicine. patient0012_2.jpeg is image 2 of patient 12.
Made with patients={patients}, seed={random_state}, prevalence={prevalence}, size={size}.
"""

Map = npt.NDArray
# The canvas spans -1.3 to 1.3; an image shows about -1 to 1. Positive x is the patient's left,
# positive y the feet.
CANVAS, REACH = 256, 1.3
_axis = (((np.arange(CANVAS) + 0.5) / CANVAS * 2 - 1) * REACH).astype(np.float32)
X, Y = np.meshgrid(_axis, _axis)
# Fraction of air lost to pneumonia, log-uniform: chosen for an AUC of about 0.95, see the tests.
SEVERITY = (0.57, 1.3)


def make_phantoms(
    folder: str | Path,
    *,
    patients: int = 240,
    images_per_patient: tuple[int, int] = (1, 4),
    size: int = 256,
    prevalence: float = 0.6,
    random_state: int = 0,
) -> list[Path]:
    """Write synthetic radiographs as class folders of JPEG files, and return their paths.

    A patient has one class and several images: the same anatomy in other poses and exposures.
    Height and width vary around the size, equally in both classes; the prevalence is the proportion
    of patients with pneumonia. The same seed gives the same bytes with the same Pillow and OpenCV.
    Images of an earlier call are replaced; a folder with other files is refused.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in make_phantoms(folder, patients=2, images_per_patient=(1, 1))]
    ['patient0001_1.jpeg', 'patient0002_1.jpeg']
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
    put_bytes(folder / NOTE, note.encode())
    ill = np.random.default_rng((random_state, 0)).permutation(patients) < ill_count
    paths: list[Path] = []
    with progress("Making synthetic radiographs", total=patients, unit="patients") as advance:
        for number in range(patients):
            # Separate streams: illness shifts no draw of anatomy or exposure.
            anatomy, disease, exposure = (
                np.random.default_rng((random_state, 1 + number, stream)) for stream in range(3)
            )
            chest, air = _draw_chest(anatomy)
            if ill[number]:
                chest = chest + _draw_pneumonia(disease, air)
            for image in range(exposure.integers(fewest, most, endpoint=True)):
                name = f"patient{number + 1:04d}_{image + 1}.jpeg"
                paths.append(folder / CLASSES[int(ill[number])] / name)
                content = io.BytesIO()
                Image.fromarray(_expose(exposure, chest, size)).save(content, "JPEG", quality=90)
                put_bytes(paths[-1], content.getvalue())
            advance()
    return paths


def _clear(folder: Path) -> None:
    """Make the class folders and remove images of an earlier call, but no other files."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / NOTE).is_file():
        raise UsageError(f"{folder} holds other files; give a new folder for synthetic images")
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for old in (folder / name).glob("patient*_*.jpeg"):
            old.unlink()


def _step(distance: Map, softness: float) -> Map:
    """Rise from 0 to 1 as the distance changes from negative to positive."""
    return 0.5 + 0.5 * np.tanh(distance * (0.5 / softness))


def _noise(rng: np.random.Generator, *cells: int) -> Map:
    """Noise of mean 0 and deviation 1 at several scales, given as cells across the canvas."""
    layers = [rng.standard_normal((count, count), dtype=np.float32) for count in cells]
    total = sum(cv2.resize(layer, X.shape, interpolation=cv2.INTER_CUBIC) for layer in layers)
    return np.asarray(total) * float(1.3 / np.sqrt(len(cells)))


def _ellipse(x: Map, y: Map, center: tuple[float, float], radii: tuple[float, float]) -> Map:
    """Distance from the center, 1 on the border."""
    return np.hypot((x - center[0]) / radii[0], (y - center[1]) / radii[1])


def _band(distance: Map) -> Map:
    """Profile of a bone: 1 in its middle, falling steeply at a distance of 1."""
    return np.exp(-np.square(np.square(np.minimum(np.abs(distance), 3))))


def _draw_chest(rng: np.random.Generator) -> tuple[Map, Map]:
    """Return the attenuation of a healthy chest, and how much of it air removes in the lungs."""
    x = X + rng.normal(0, 0.02) * Y
    y = Y + rng.normal(0, 0.02) * X
    top, base = rng.uniform(-0.8, -0.7), rng.uniform(0.42, 0.58)
    width = rng.uniform(0.66, 0.78)
    body = np.sqrt(np.maximum(0, 1 - np.abs(x / (width + rng.uniform(0.1, 0.2))) ** 3))
    body = 1.9 * np.maximum(body * _step(y + 0.88, 0.05), 0.7 * _step(0.3 - np.abs(x), 0.03))
    middle, height = (top + base) / 2, base - top
    dome = base + rng.uniform(0.4, 0.8) * (np.abs(x) - 0.5 * width) ** 2
    lungs = _step(dome - rng.uniform(0, 0.08, 2)[(x > 0).astype(int)] - y, 0.015)
    outline = _ellipse(np.abs(x), y, (0.46 * width, middle + 0.12), (0.5 * width, 0.66 * height))
    lungs = lungs * _step(1 - outline, 0.03) * _step(np.abs(x) - 0.12, 0.02)
    left = _ellipse(x, y, (0.14, base - 0.22), (rng.uniform(0.26, 0.38), rng.uniform(0.24, 0.32)))
    heart = _step(1 - np.minimum(left, _ellipse(x, y, (0, base - 0.45), (0.19, 0.42))), 0.05)
    markings = _vessels(rng, middle) + rng.uniform(0.03, 0.08) * _noise(rng, 11, 22, 44)
    air = lungs * (1 - 0.8 * heart) * np.clip(1 - markings, 0.3, 1.1)
    spine = _step(0.085 - np.abs(x), 0.012) * (1 + 0.2 * np.cos(2 * np.pi * y / 0.13))
    bones = rng.uniform(0.2, 0.4) * spine + _ribs(rng, x / width, y, top, height) + 0.15 * heart
    chest = body - rng.uniform(0.95, 1.4) * air + bones * (body > 0)
    chest += rng.uniform(0.02, 0.05) * body * _noise(rng, 6, 12, 25)
    return np.maximum(chest, 0).astype(np.float32), air.astype(np.float32)


def _ribs(rng: np.random.Generator, x: Map, y: Map, top: float, height: float) -> Map:
    """Ten pairs of ribs, and collarbones."""
    lateral, spacing = np.abs(x), (height + 0.2) / 10
    thickness = spacing * rng.uniform(0.2, 0.26)
    rise, drop = rng.uniform(0.05, 0.12), rng.uniform(0.18, 0.3)
    total = np.zeros_like(x)
    for pair in range(10):
        line = top + pair * spacing - rise * lateral + drop * (0.7 + 0.05 * pair) * lateral**2
        total += _band((y - line) / thickness)
    collar = top + rng.uniform(0, 0.1) - rng.uniform(0.02, 0.2) * lateral
    collarbones = rng.uniform(0.2, 0.4) * _band((y - collar) / 0.03)
    within = _step(lateral - 0.1, 0.01) * _step(1.02 - lateral, 0.02)
    return (rng.uniform(0.14, 0.26) * total + collarbones) * within


def _vessels(rng: np.random.Generator, middle: float) -> Map:
    """Vessels branching outwards from both hila, getting thinner and fainter."""
    canvas = np.zeros_like(X)
    scale = CANVAS / (2 * REACH)
    stems = [
        (side * 0.17, middle + 0.1, side, angle, 0.015, 0.45)
        for side in (-1, 1)
        for angle in rng.uniform(-1.35, 1.35, 9)
    ]
    while stems:
        x, y, side, angle, radius, strength = stems.pop()
        length = rng.uniform(0.08, 0.15)
        end = (x + side * length * np.cos(angle), y + length * np.sin(angle))
        # Four fractional bits place the ends between pixels.
        first, last = ((np.array([(x, y), end]) + REACH) * scale * 16).astype(int).tolist()
        cv2.line(canvas, first, last, strength, max(1, round(2 * radius * scale)), cv2.LINE_AA, 4)
        if radius > 0.005:
            forks = angle + rng.uniform(0.15, 0.5, 2) * (1, -1)
            stems += [(*end, side, fork, 0.68 * radius, 0.75 * strength) for fork in forks]
    return cv2.GaussianBlur(canvas, (0, 0), 1.0)


def _draw_pneumonia(rng: np.random.Generator, air: Map) -> Map:
    """Attenuation added by ragged opacities in one lung or both: one large or several small."""
    severity = float(np.exp(rng.uniform(*np.log(SEVERITY))))
    sides = [(-1,), (1,), (-1, 1)][rng.choice(3, p=[0.35, 0.25, 0.4])]
    patchy = rng.random() < 0.5
    opacity = np.zeros_like(X)
    for side in sides:
        count, sizes = (int(rng.integers(4, 10)), (0.07, 0.17)) if patchy else (1, (0.25, 0.5))
        texture = _noise(rng, 14, 28, 56)
        for place in rng.choice(np.flatnonzero((air > 0.3) & (side * X > 0)), count):
            radii = rng.uniform(*sizes), rng.uniform(*sizes)
            distance = _ellipse(X, Y, (X.flat[place], Y.flat[place]), radii) + 0.11 * texture
            cloud = _step(1 - distance, 0.15) * _step(side * X, 0.01) * rng.uniform(0.7, 1.0)
            opacity = np.maximum(opacity, cloud * (1 + 0.3 * texture))
    return 1.2 * air * np.clip(severity * opacity, 0, 0.95)


def _expose(rng: np.random.Generator, chest: Map, size: int) -> npt.NDArray[np.uint8]:
    """Take a radiograph, bright where tissue is dense: pose, noise, exposure and collimation."""
    height, width = (int(side) for side in np.round(size * rng.uniform(0.9, 1.15, 2)))
    zoom = rng.uniform(0.9, 1.08) * 2 / (2 * REACH) * CANVAS / np.array([width, height])
    turn, center = rng.normal(0, 0.045), (CANVAS - 1) / 2 + rng.normal(0, 4, 2)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * zoom
    matrix = np.column_stack([turned, center - turned @ ((width - 1) / 2, (height - 1) / 2)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    film = cv2.warpAffine(
        chest, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    signal = np.exp(-1.15 * cv2.GaussianBlur(film, (0, 0), rng.uniform(0.5, 0.9)))
    grain = rng.standard_normal(film.shape, dtype=np.float32) * rng.uniform(0.01, 0.03)
    film = -np.log(signal * np.maximum(1 + grain / np.sqrt(signal), 0.05) + rng.uniform(0.02, 0.08))
    low, high = np.percentile(film, (rng.uniform(0.5, 4), rng.uniform(98.5, 99.9)))
    gray = np.clip((film - low) / (high - low), 0, 1)
    # Opacities brighten an image: a mean gray drawn at random keeps brightness from revealing them.
    gray = gray ** float(np.log(rng.uniform(0.4, 0.62)) / np.log(gray.mean()))
    gray = rng.uniform(0.85, 1.0) * gray + rng.uniform(0, 0.05)
    sides = np.array([height, height, width, width])
    top, bottom, left, right = (
        np.where(rng.random(4) < 0.2, rng.uniform(0.01, 0.06, 4), 0) * sides
    ).astype(int)
    seen = np.full_like(gray, 0.02)
    inside = (slice(top, height - bottom), slice(left, width - right))
    seen[inside] = gray[inside]
    return np.round(255 * np.clip(seen, 0, 1)).astype(np.uint8)
