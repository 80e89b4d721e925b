"""Synthetic chest radiographs: a data set that anyone can have, for the demo and for tests.

Every picture is computed from random numbers; nothing here comes from a patient. A chest is a map
of attenuation (body, lungs, heart, bones, vessels) as a beam meets it from the back; pneumonia puts
some of the lungs' air out. The beam's signal falls exponentially with attenuation, scatter is
added, and film noise, exposure, pose and collimation are drawn for each image, never by class.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from featx.errors import UsageError
from featx.progress import progress

__all__ = ["PHANTOM_PATIENT_PATTERN", "Chest", "draw_opacity", "make_phantoms", "render_phantom"]

PHANTOM_PATIENT_PATTERN = r"(patient\d+)_"
"""Regular expression whose group is the patient, for names such as ``patient0012_2.jpeg``."""

CLASSES = ("NORMAL", "PNEUMONIA")
Map = npt.NDArray
Point = tuple[float, float]

NOTE = "SYNTHETIC.txt"
NOTE_TEXT = """\
These images are SYNTHETIC: featx computed them from random numbers. They show no patient, and no
figure measured on them says anything about medicine. patient0012_2.jpeg is image 2 of patient 12.
Made with patients={patients}, seed={seed}, prevalence={prevalence}, size={size}.
"""

# The canvas reaches from -1.3 to 1.3 both ways; a film shows about -1 to 1 of it. Positive x is
# the patient's left, which a radiograph shows on the right; positive y is towards the feet.
CANVAS = 320
REACH = 1.3
_axis = (((np.arange(CANVAS) + 0.5) / CANVAS * 2 - 1) * REACH).astype(np.float32)
X, Y = np.meshgrid(_axis, _axis)
HILA: tuple[Point, Point] = ((-0.17, -0.02), (0.17, -0.06))

# Share of the air that a pneumonia puts out, from hardly visible to dense, drawn evenly on the
# logarithmic scale. Tuned together with the sizes below; the tests hold the difficulty.
SEVERITY = (0.48, 1.1)
KINDS = {"lobar": 0.4, "patchy": 0.35, "interstitial": 0.25}
SIDES = {(-1,): 0.35, (1,): 0.25, (-1, 1): 0.4}
LOBE_RADIUS, PATCH_RADIUS, NET_RADIUS = (0.25, 0.5), (0.07, 0.17), (0.3, 0.6)


@dataclass(frozen=True, eq=False)
class Chest:
    """One made-up person's healthy chest, as maps of the canvas.

    Parameters
    ----------
    attenuation : ndarray of float32, shape (320, 320)
        Attenuation of the beam, the line integral, without unit.
    lungs : ndarray of float32, shape (320, 320)
        Attenuation that air saves, 0 outside the lungs: about the most that pneumonia can add.

    Examples
    --------
    >>> chest = Chest.draw(np.random.default_rng(0))
    >>> chest.attenuation.shape, float(chest.lungs.min())
    ((320, 320), 0.0)
    """

    attenuation: Map
    lungs: Map

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Chest:
        """Draw a chest; the same state of the generator gives the same one."""
        # People are a little crooked: all that follows is drawn on a bent grid.
        x = X + rng.normal(0, 0.015) * Y + rng.normal(0, 0.012) * Y**2
        y = Y + rng.normal(0, 0.02) * X
        apex, base = rng.uniform(-0.78, -0.68), rng.uniform(0.44, 0.6)
        narrowing = 0.97 * np.clip((base - y) / (base - apex + 0.06), 0, 1) ** 2.6
        cage = rng.uniform(0.7, 0.8) * np.sqrt(1 - narrowing)
        heart = _heart(rng, x, y, cage, base)
        markings = _vessels(rng) + rng.uniform(0.03, 0.08) * _cloud(rng, 11, 22, 44)
        air = _lungs(rng, x, y, cage, apex, base) * (1 - 0.8 * heart)
        air = air * np.clip(1 - markings, 0.3, 1.1)
        body = _body(rng, x, y, float(cage.max()))
        solid = _ribs(rng, x, y, cage, apex, base) + _middle(rng, x, y, apex) + 0.15 * heart
        grain = rng.uniform(0.02, 0.05) * body * _cloud(rng, 6, 12, 25)
        attenuation = body - rng.uniform(1.15, 1.35) * air + solid * (body > 0) + grain
        return cls(np.maximum(attenuation, 0).astype(np.float32), air.astype(np.float32))


def _step(distance: Map, softness: float) -> Map:
    """Go from 0 to 1 as the distance goes from negative to positive."""
    return 0.5 + 0.5 * np.tanh(distance * (0.5 / softness))


def _cloud(rng: np.random.Generator, *cells: int) -> Map:
    """Noise of several scales, given as cells across the canvas: mean 0, deviation about 1."""
    total = np.zeros_like(X)
    for count in cells:
        noise = rng.standard_normal((count, count), dtype=np.float32)
        total += cv2.resize(noise, X.shape, interpolation=cv2.INTER_CUBIC)
    return total * float(1.3 / np.sqrt(len(cells)))


def _ellipse(x: Map, y: Map, centre: Point, radii: Point, turn: float = 0.0) -> Map:
    """Distance from the centre, 1 on the border."""
    right, down = x - centre[0], y - centre[1]
    cosine, sine = float(np.cos(turn)), float(np.sin(turn))
    along, across = right * cosine + down * sine, down * cosine - right * sine
    return np.hypot(along / radii[0], across / radii[1])


def _rod(x: Map, y: Map, start: Point, end: Point, radius: float) -> Map:
    """Thickness of a rod with round ends, 1 at its middle."""
    right, down = x - start[0], y - start[1]
    run, fall = end[0] - start[0], end[1] - start[1]
    share = np.clip((right * run + down * fall) / (run**2 + fall**2), 0, 1)
    square = (right - share * run) ** 2 + (down - share * fall) ** 2
    return np.sqrt(np.maximum(0, 1 - square / radius**2))


def _lungs(rng: np.random.Generator, x: Map, y: Map, cage: Map, apex: float, base: float) -> Map:
    """Depth of air that the beam meets, at most about 1."""
    inner = rng.uniform(0.1, 0.13) + 0.1 * np.clip((apex + 0.3 - y) / 0.3, 0, 1) ** 2
    # The thymus of a child widens the upper mediastinum, on one side more than on the other.
    thymus = np.where(x < 0, *rng.uniform(0, 0.08, 2))
    inner = inner + thymus * np.exp(-(((y - apex - 0.35) / 0.16) ** 2))
    lifted = np.where(x < 0, rng.uniform(0.03, 0.09), rng.uniform(-0.01, 0.04))
    middle = 0.52 * float(cage.max())
    dome = base - lifted + rng.uniform(0.4, 0.8) * (np.abs(x) - middle) ** 2
    dome += rng.uniform(0.06, 0.16) * _step(np.abs(x) - 1.7 * middle, 0.03)
    lungs = _step(cage - 0.025 - np.abs(x), 0.012) * _step(np.abs(x) - inner, 0.014)
    lungs *= _step(dome - y, rng.uniform(0.008, 0.02)) * _step(y - apex, 0.02)
    depth = lungs * (0.45 + 0.6 * cv2.GaussianBlur(lungs, (0, 0), 20))
    return np.where(lungs > 0.02, depth, 0).astype(np.float32)


def _heart(rng: np.random.Generator, x: Map, y: Map, cage: Map, base: float) -> Map:
    """Draw the heart, wider to the patient's left, and the great vessels; 1 at the deepest."""
    size = float(cage.max()) * rng.uniform(0.85, 1.1)
    left = _ellipse(x, y, (0.17 * size, base - 0.24), (0.5 * size, 0.27), rng.uniform(0.5, 0.85))
    right = _ellipse(x, y, (-0.06, base - 0.2), (0.25 * size, 0.26))
    vessels = _ellipse(x, y, (0.05, base - 0.6), (rng.uniform(0.15, 0.2), 0.36))
    softness = rng.uniform(0.04, 0.07)
    nearest = np.minimum(np.minimum(left, right + 0.1), vessels + 0.2)
    return _step(1 - nearest, softness) * (1.15 - 0.3 * np.minimum(nearest, 2))


def _body(rng: np.random.Generator, x: Map, y: Map, cage: float) -> Map:
    """Soft tissue without regard to lungs: trunk, neck, jaw, shoulders, arms, stomach."""
    width = cage + rng.uniform(0.07, 0.16) + 0.05 * y
    trunk = np.sqrt(np.maximum(0, 1 - np.abs(x / width) ** 3)) * _step(y + 0.86, 0.05)
    body = trunk * (rng.uniform(1.75, 2.05) + rng.uniform(0.1, 0.35) * _step(y - 0.5, 0.1))
    body = np.maximum(body, 1.5 * _rod(x, y, (0, -1.4), (0, -0.6), rng.uniform(0.26, 0.34)))
    body += 1.2 * _rod(x, y, (-0.1, -1.35), (0.1, -1.35), rng.uniform(0.25, 0.5))
    for side in (-1, 1):
        shoulder = (side * (cage + rng.uniform(0.12, 0.25)), rng.uniform(-0.72, -0.6))
        raised = rng.random() < 0.5
        hand = (side * rng.uniform(1.2, 1.5), rng.uniform(-1.5, -1.1) if raised else 0.9)
        arm = _rod(x, y, shoulder, hand, rng.uniform(0.14, 0.19))
        girdle = _rod(x, y, (side * 0.15, -0.78), shoulder, rng.uniform(0.2, 0.27))
        body = np.maximum(body, 1.25 * np.maximum(arm, girdle))
        body += 0.35 * _rod(x, y, shoulder, hand, 0.055)
        body += 0.25 * _rod(x, y, (side * (cage - 0.05), -0.55), (side * cage, -0.15), 0.1)
    stomach = _ellipse(x, y, (0.4, rng.uniform(0.68, 0.85)), (0.17, 0.1))
    return body - rng.uniform(0, 0.6) * _step(1 - stomach, 0.1)


def _ribs(rng: np.random.Generator, x: Map, y: Map, cage: Map, apex: float, base: float) -> Map:
    """Pairs of ribs, back half from the spine, front half falling inwards; and collar bones."""
    pairs = int(rng.integers(9, 11))
    spacing = (base + 0.2 - apex) / pairs
    thickness = spacing * rng.uniform(0.2, 0.26)
    density, front_density = rng.uniform(0.14, 0.26), rng.uniform(0.05, 0.12)
    rise, drop, slope = rng.uniform(0.05, 0.12), rng.uniform(0.18, 0.3), rng.uniform(0.25, 0.45)
    lateral = np.abs(x) / cage
    # A rib that runs along the beam at the side of the chest is met over a longer way.
    pile_up = _step(1.01 - lateral, 0.012) / np.sqrt(1.12 - np.minimum(lateral, 1) ** 2)
    front_fade = front_density / density * _step(lateral - rng.uniform(0.45, 0.6), 0.04)
    total = np.zeros_like(x)
    for pair in range(pairs):
        start = apex - 0.03 + pair * spacing + rng.normal(0, 0.006)
        steep = 0.7 + 0.5 * pair / pairs
        back = start - rise * lateral + steep * drop * lateral**2
        front = start - rise + steep * drop + slope * (1 - lateral) + 0.1 * (1 - lateral) ** 2
        total += _tube((y - back) / thickness) + front_fade * _tube((y - front) / thickness)
    # Collar bones, tilted and bent like an S.
    reach = np.clip((np.abs(x) - 0.09) / 0.7, 0, 1)
    collar = apex + rng.uniform(0.0, 0.12) - rng.uniform(0.02, 0.2) * reach
    collar = collar - 0.025 * np.sin(2 * np.pi * reach) + rng.normal(0, 0.02) * x
    ends = rng.uniform(0.2, 0.4) * _step(np.abs(x) - 0.09, 0.01) * _step(0.8 - np.abs(x), 0.02)
    ribs = density * total * pile_up * _step(np.abs(x) - 0.06, 0.01)
    return ribs + ends * _tube((y - collar) / rng.uniform(0.025, 0.035))


def _tube(distance: Map) -> Map:
    """Profile of a bone: a soft band, brighter along its cortical edges."""
    square = np.minimum(distance * distance, 9)
    return np.exp(-square * square) * (0.75 + 0.6 * square)


def _middle(rng: np.random.Generator, x: Map, y: Map, apex: float) -> Map:
    """Spine with its vertebrae, soft tissue around it, and the windpipe's air."""
    half, period = rng.uniform(0.075, 0.095), rng.uniform(0.11, 0.14)
    discs = np.tanh(2.5 * np.cos(2 * np.pi * (y - rng.uniform(0, period)) / period))
    edges = _step(np.abs(x) - 0.75 * half, 0.008)
    spine = _step(half - np.abs(x), 0.012) * (1 + 0.22 * discs + 0.25 * edges)
    tissue = _step(0.15 - np.abs(x), 0.03) * rng.uniform(0.05, 0.15)
    carina = apex + 0.38
    windpipe = _rod(x, y, (0, apex - 0.5), (-0.01, carina), 0.045)
    for side in (-1, 1):
        windpipe += 0.6 * _rod(x, y, (0, carina), (side * 0.14, carina + 0.1), 0.03)
    return rng.uniform(0.2, 0.38) * spine + tissue - rng.uniform(0.1, 0.25) * windpipe


def _vessels(rng: np.random.Generator) -> Map:
    """Vessels that branch from the hila outwards, ever thinner and fainter."""
    canvas = np.zeros_like(X)
    scale = CANVAS / (2 * REACH)
    for side, hilum in zip((-1, 1), HILA, strict=True):
        stems = [(*hilum, angle, 0.015, 0.45) for angle in rng.uniform(-1.35, 1.35, 9)]
        while stems:
            x, y, angle, radius, strength = stems.pop()
            length = rng.uniform(0.08, 0.15)
            end = (x + side * length * np.cos(angle), y + length * np.sin(angle))
            corners = (np.array([(x, y), end]) + REACH) * scale * 16
            first, last = corners.astype(int).tolist()
            shade, width = strength * rng.uniform(0.6, 1.0), max(1, round(2 * radius * scale))
            # Four fractional bits place the ends between pixels.
            cv2.line(canvas, first, last, shade, width, cv2.LINE_AA, 4)
            if radius > 0.005:
                forks = angle + rng.uniform(0.15, 0.5, 2) * (1, -1)
                stems += [(*end, fork, 0.68 * radius, 0.75 * strength) for fork in forks]
        canvas += rng.uniform(0.1, 0.3) * np.exp(-(_ellipse(X, Y, hilum, (0.08, 0.1)) ** 2))
    return cv2.GaussianBlur(canvas, (0, 0), 1.0)


def draw_opacity(rng: np.random.Generator, chest: Chest) -> Map:
    """Draw a pneumonia: consolidation, patches or a net of markings, in one lung or in both.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    chest : Chest
        Whose lungs fall ill.

    Returns
    -------
    ndarray of float32, shape (320, 320)
        Attenuation to add to the chest's; 0 outside its lungs.
    """
    severity = float(np.exp(rng.uniform(*np.log(SEVERITY))))
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    sides = list(SIDES)[rng.choice(len(SIDES), p=list(SIDES.values()))]
    share = np.zeros_like(X)
    for side in sides:
        if kind == "interstitial":
            focus = _net(rng, HILA[side > 0])
        else:
            focus = _clouds(rng, chest.lungs * (side * X > 0), patchy=kind == "patchy")
        share = np.maximum(share, focus * _step(side * X, 0.01))
    return 1.2 * chest.lungs * np.clip(severity * share, 0, 0.95)


def _clouds(rng: np.random.Generator, lung: Map, *, patchy: bool) -> Map:
    """Ragged clouds around places in one lung: one wide, or several small."""
    count, sizes = (int(rng.integers(4, 10)), PATCH_RADIUS) if patchy else (1, LOBE_RADIUS)
    texture = _cloud(rng, 14, 28, 56)
    share = np.zeros_like(X)
    for place in rng.choice(np.flatnonzero(lung > 0.3), count):
        size, flat = rng.uniform(*sizes), rng.uniform(0.6, 1.0)
        centre, turn = (X.flat[place], Y.flat[place]), rng.uniform(0, np.pi)
        distance = _ellipse(X, Y, centre, (size, flat * size), turn) + 0.11 * texture
        share = np.maximum(share, _step(1 - distance, 0.15) * rng.uniform(0.7, 1.0))
    return share * (1 + 0.35 * _cloud(rng, 28, 56))


def _net(rng: np.random.Generator, hilum: Point) -> Map:
    """Net-like markings, densest about the hilum."""
    reach = rng.uniform(*NET_RADIUS)
    near = np.exp(-(_ellipse(X, Y, (hilum[0], hilum[1] + 0.1), (reach, 1.3 * reach)) ** 2))
    net = 1 - np.minimum(np.abs(_cloud(rng, 26, 44, 72)) / 0.8, 1)
    return near * (rng.uniform(0.2, 0.5) + 0.8 * net)


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
    rng : numpy.random.Generator
        Where chance comes from; what is drawn does not depend on the opacity.
    chest : Chest
        Whose radiograph.
    opacity : ndarray of float32, shape (320, 320), optional
        Attenuation of a pneumonia, from `draw_opacity`.
    height, width : int, default=256
        Size of the image in pixels.

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
    """Window the film, set its mean grey to one that is drawn, and darken collimated borders.

    Opacities brighten a film. With its mean set so, brightness tells nothing of the class.
    """
    low, high = np.percentile(film, (rng.uniform(0.5, 4), rng.uniform(98.5, 99.9)))
    grey = np.clip((film - low) / (high - low), 0, 1)
    gamma = np.log(rng.uniform(0.4, 0.62)) / np.log(grey.mean())
    grey = rng.uniform(0.85, 1.0) * grey ** float(gamma) + rng.uniform(0, 0.05)
    height, width = film.shape
    blades = np.where(rng.random(4) < 0.2, rng.uniform(0.01, 0.06, 4), 0)
    top, bottom, left, right = (blades * (height, height, width, width)).astype(int)
    seen = np.full_like(grey, 0.02)
    inside = (slice(top, height - bottom), slice(left, width - right))
    seen[inside] = grey[inside]
    return np.clip(seen, 0, 1)


def make_phantoms(
    folder: str | Path,
    *,
    patients: int = 240,
    images_per_patient: tuple[int, int] = (1, 4),
    size: int = 256,
    prevalence: float = 0.6,
    seed: int = 0,
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
    seed : int, default=0
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
    note = NOTE_TEXT.format(patients=patients, seed=seed, prevalence=prevalence, size=size)
    (folder / NOTE).write_text(note, encoding="utf-8")
    ill = np.random.default_rng((seed, 0)).permutation(patients) < ill_count
    paths: list[Path] = []
    with progress("Making synthetic radiographs", total=patients, unit="patients") as advance:
        for number in range(patients):
            sick = bool(ill[number])
            paths += _write_patient(folder, number, sick, images_per_patient, size, seed)
            advance()
    return paths


def _write_patient(
    folder: Path, number: int, ill: bool, images_per_patient: tuple[int, int], size: int, seed: int
) -> list[Path]:
    # Streams of their own: whether the patient is ill shifts no draw of anatomy or exposure.
    anatomy, disease, films = (np.random.default_rng((seed, 1 + number, part)) for part in range(3))
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
