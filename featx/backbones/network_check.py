"""Network check: rules that a network must pass on reference images before rows are cached."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.brought_engine import network_inputs
from featx.backbones.kept import NetworkFolder
from featx.backbones.reference_images import reference_images
from featx.errors import FeatxError, UsageError

if TYPE_CHECKING:
    from featx.backbones.engines import Engine


logger = logging.getLogger(__name__)

# To be raised whenever rules or reference images change.
_FORMAT = 1

_SUFFIX = "-check"

# Of features, relative to the largest; engines and versions agree within 1e-4, a GPU's short floats
# within 1e-3.
_SAME = 1e-3
_EXPECTED = 3e-3
# Distance of features, relative to the largest norm.
_DIFFERENT = 1e-4
# How much further apart features of magnified images may be. Healthy networks: 0.3 to 1.4 times;
# EfficientNet-Lite whose input is rescaled twice: 6.5 to 22 (scripts/bench/network_check.py).
_MAGNIFIED = 4.0
# Of the network's input, relative to the distance of black and white.
_INPUT = 1e-4

# Rules that a healthy network may break which normalizes its images itself: a brought one is warned
# of, and used.
_SIGNS = ("inversion", "rescaling", "colors", "double rescale")

# Number of values of an image that are compared with known ones.
_SUMMARY = 8

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CheckedNetwork:
    """Everything that decides features of the reference images, besides the engine."""

    backbone: AnyBackbone
    weights: str
    color: str = "gray"
    pooling: str = "average"
    precision: str = "float32"

    def key(self, engine: Engine) -> dict[str, Any]:
        """Return plain values that a kept result is for."""
        card = self.backbone.card if isinstance(self.backbone, Backbone) else {}
        return {
            "format": _FORMAT,
            **{name: value for name, value in vars(self).items() if name != "backbone"},
            "backbone": self.backbone.name,
            "size": list(self.backbone.size),
            "preprocessing": repr(self.backbone.preprocessing),
            "card": card,
            "engine": engine.name,
            "versions": engine.versions(),
        }

    @property
    def expected(self) -> Values | None:
        """Known values of the reference images (`summarize`), or None."""
        if (self.pooling, self.precision) != ("average", "float32"):
            return None
        height, width = self.backbone.size
        name = f"{self.weights} {height}x{width} {self.color}"
        values = _known_features().get(name)
        return None if values is None else np.asarray(values, dtype=np.float32)


@dataclass(frozen=True)
class RuleResult:
    """Outcome of one rule: what was found, what it must be, and what to do if it is not."""

    rule: str
    passed: bool
    found: str
    wanted: str
    remedy: str = ""


def check_network(engine: Engine, checked: CheckedNetwork, folder: Path) -> None:
    """Refuse a network that breaks a rule; the results are kept in the folder.

    Networks that passed with the same libraries are not examined again, except Python functions,
    which may have changed under the same version.
    """
    kept, name, key = NetworkFolder(folder), checked.backbone.name + _SUFFIX, checked.key(engine)
    facts = None if engine.name == "python" else kept.read_note(name, key)
    if facts is not None and facts.get("passed") is True:
        return
    results = list(examine_network(engine, checked))
    failed = [result for result in results if not result.passed]
    brought = isinstance(checked.backbone, Backbone)
    signs = [each for each in failed if brought and each.rule in _SIGNS]
    broken = [each for each in failed if each not in signs]
    for sign in signs:
        logger.warning(
            f"Network check of {checked.backbone.name}, rule {sign.rule!r}: {sign.found}, where "
            f"{sign.wanted}. A network that normalizes its images itself may do so. {sign.remedy}."
        )
    facts = {"passed": not broken, "rules": [asdict(result) for result in results], **key}
    # A read-only cache may lack it.
    with suppress(FeatxError, OSError):
        kept.put_note(name, key, facts)
    if broken:
        first = broken[0]
        others = ", ".join(result.rule for result in broken[1:])
        raise UsageError(
            f"{checked.backbone.name} on the {engine.name} engine fails the rule {first.rule!r} of "
            f"the network check: {first.found}, where {first.wanted}"
            f"{f' (also: {others})' if others else ''}. Nothing was cached. {first.remedy}"
        )
    logger.debug(f"{checked.backbone.name} passes the network check ({len(results)} rules).")


def kept_results(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return what is kept of the checks of a network, the newest first."""
    found = []
    for path in NetworkFolder(folder).notes(name + _SUFFIX):
        with suppress(OSError, ValueError, LookupError, TypeError):
            facts = json.loads(path.read_bytes())
            if facts["backbone"] == name and facts["format"] == _FORMAT:
                found.append(facts)
    return found


def examine_network(engine: Engine, checked: CheckedNetwork) -> Iterator[RuleResult]:
    """Yield the result of each rule; none of features after another size."""
    record: AnyBackbone = getattr(engine, "backbone", checked.backbone)
    sizes = [" x ".join(map(str, each.size)) for each in (record, checked.backbone)]
    same_size, found = record.size == checked.backbone.size, f"it takes images of {sizes[0]}"
    yield RuleResult("size", same_size, found, f"{sizes[1]} pixels are declared", _CARD)
    if not same_size:
        return
    images = reference_images(checked.backbone.size, checked.color)
    yield _input_rule(record, checked.backbone, images)
    features = engine.embed(images)
    changed = [images[1], images[0], 255 - images[0], images[0] / 255]
    if checked.color == "rgb":
        changed.append(images[0][..., ::-1])
    others = engine.embed(np.stack(changed))
    magnified = engine.embed(images[:3] * 255)
    yield from _feature_rules(features, others)
    if np.isfinite(features).all() and np.isfinite(magnified).all():
        yield _magnified_rule(features[:3], magnified)
    if checked.expected is not None:
        yield _expected_rule(features, checked.expected)


_CARD = (
    "Correct size, range, mean, scale and color of its card, or the function that prepares images"
)
_WEIGHTS = f"Its weights are damaged, or its input is wrong: get the file again. {_CARD}"
_TRAINING = "Save it for inference, without random numbers and statistics of a batch"


def _input_rule(record: AnyBackbone, declared: AnyBackbone, images: Values) -> RuleResult:
    """Compare what reaches a network with what its record declares, computed in another way."""
    channels = declared.channels if isinstance(declared, Backbone) else 3
    pixels = images if images.ndim == 4 else np.repeat(images[..., None], channels, axis=-1)
    if isinstance(record, Backbone):
        reached = network_inputs(record, pixels)
        reached = np.moveaxis(reached, 1, -1) if record.layout == "NCHW" else reached
    else:
        reached = np.asarray(record.preprocessing(pixels))
    order = slice(None, None, -1 if declared.preprocessing.bgr else None)
    mean, scale = np.array(declared.preprocessing.mean), np.array(declared.preprocessing.scale)
    expected = (pixels[..., order].astype(np.float64) - mean) / scale
    low, high = (-mean / scale).min(), ((255 - mean) / scale).max()
    finds = f"values from {reached.min():.4g} to {reached.max():.4g} reach it"
    wants = f"its card declares {low:.4g} to {high:.4g}"
    same = reached.shape == expected.shape and bool(
        np.abs(reached - expected).max() <= _INPUT * (high - low)
    )
    if not same and f"{reached.min():.4g} {reached.max():.4g}" == f"{low:.4g} {high:.4g}":
        finds, wants = "its input has other channels or axes", "its card declares another order"
    return RuleResult("input", same, finds, wants, _CARD)


def _feature_rules(features: Values, others: Values) -> Iterator[RuleResult]:
    """Check that features are finite, differ between images, and do not depend on a batch."""
    finite = bool(np.isfinite(features).all() and np.isfinite(others).all())
    text = "finite features" if finite else "features that are not finite"
    yield RuleResult("finite", finite, f"it gives {text}", "all must be finite", _WEIGHTS)
    if not finite:
        return
    least = min(_distances(features))
    text = "" if least > _DIFFERENT else ": it gives different images the same features"
    yield _distinct("different images", least, text)
    error = _error(others[:2], features[1::-1])
    changes = ": it gives an image other features each time, or beside other images"
    text = "" if error <= _SAME else changes
    yield RuleResult(
        "same image",
        error <= _SAME,
        f"features of an image differ by {error:.1e} of the largest{text}",
        f"at most {_SAME:.0e} is accepted",
        _TRAINING,
    )
    for rule, changed in zip(("inversion", "rescaling", "colors"), others[2:], strict=False):
        yield _distinct(rule, _distance(changed, features[0], features))


def _distinct(rule: str, distance: float, text: str = "") -> RuleResult:
    """Return the result of a rule that features must differ."""
    found = f"features differ by {distance:.1e} of the largest norm{text}"
    wanted = f"more than {_DIFFERENT:.0e} is needed"
    return RuleResult(rule, distance > _DIFFERENT, found, wanted, _WEIGHTS)


def _magnified_rule(features: Values, magnified: Values) -> RuleResult:
    """Check that features do not spread where the input is as large as before rescaling."""
    times = sum(_distances(magnified)) / max(sum(_distances(features)), 1e-12)
    return RuleResult(
        "double rescale",
        bool(times <= _MAGNIFIED),
        f"features of different images are {times:.2g} times as far apart if values are 255 times "
        "as large",
        f"at most {_MAGNIFIED:.0f} times is accepted: the network divides its input by 255 itself",
        _CARD,
    )


def _distances(features: Values) -> list[float]:
    pairs = [(a, b) for a in range(len(features)) for b in range(a)]
    return [_distance(features[a], features[b], features) for a, b in pairs]


def _distance(a: Values, b: Values, features: Values) -> float:
    largest = np.linalg.norm(features, axis=1).max()
    return float(np.linalg.norm(a - b) / max(largest, 1e-12))


def _error(found: Values, expected: Values) -> float:
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))


def _expected_rule(features: Values, expected: Values) -> RuleResult:
    error = _error(summarize(features), expected)
    return RuleResult(
        "expected features",
        error <= _EXPECTED,
        f"features of these weights differ by {error:.1e} of the largest from the known ones",
        f"at most {_EXPECTED:.0e} is accepted",
        "Preprocessing, color order, axes or a library computes something else: try the other "
        "--engine, and report it with the output of `featx doctor`",
    )


def summarize(features: Values) -> Values:
    """Return eight values of each image: means of consecutive features."""
    parts = np.array_split(features, _SUMMARY, axis=1)
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


@cache
def _known_features() -> Mapping[str, list[list[float]]]:
    file = resources.files("featx.backbones").joinpath("expected_features.json")
    return json.loads(file.read_text())
