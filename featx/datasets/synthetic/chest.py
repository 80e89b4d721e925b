"""A made-up chest: maps of what attenuates the beam, and of the pneumonia in its lungs."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["CANVAS", "REACH", "Chest", "Map", "draw_opacity"]

Map = npt.NDArray
Point = tuple[float, float]

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


def _ellipse(x: Map, y: Map, center: Point, radii: Point, turn: float = 0.0) -> Map:
    """Distance from the center, 1 on the border."""
    right, down = x - center[0], y - center[1]
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
        center, turn = (X.flat[place], Y.flat[place]), rng.uniform(0, np.pi)
        distance = _ellipse(X, Y, center, (size, flat * size), turn) + 0.11 * texture
        share = np.maximum(share, _step(1 - distance, 0.15) * rng.uniform(0.7, 1.0))
    return share * (1 + 0.35 * _cloud(rng, 28, 56))


def _net(rng: np.random.Generator, hilum: Point) -> Map:
    """Net-like markings, densest about the hilum."""
    reach = rng.uniform(*NET_RADIUS)
    near = np.exp(-(_ellipse(X, Y, (hilum[0], hilum[1] + 0.1), (reach, 1.3 * reach)) ** 2))
    net = 1 - np.minimum(np.abs(_cloud(rng, 26, 44, 72)) / 0.8, 1)
    return near * (rng.uniform(0.2, 0.5) + 0.8 * net)
