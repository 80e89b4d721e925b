"""Cards: what a network's file does not state about its input, its outputs and its origin."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.backbones.brought import Backbone, Network
from featx.backbones.pooling import MAP_POOLINGS, MULTI_DEPTH, TOKEN_POOLINGS
from featx.backbones.spec import Preprocessing, Stage
from featx.errors import UsageError, check_names, find_name, listed
from featx.images.framing import Framing
from featx.runtime.serialization import digest_of_values

__all__ = ["Graph", "check_file", "make_record"]

Shape = tuple[int | None, ...]

_ALWAYS = ("range", "mean", "scale", "framing", "color", "license", "source")
_OTHERS = ("size", "layout", "output", "stages", "pooling", "prefix_tokens", "title", "sha256")
_OF_INT8 = ("poolings", "quantized_from")
_COLORS = ("rgb", "bgr", "gray")
_LAYOUTS = ("NCHW", "NHWC")
_EXAMPLE = {
    "size": 224,
    "range": [0, 1],
    "mean": [0.485, 0.456, 0.406],
    "scale": [0.229, 0.224, 0.225],
    "color": "rgb",
    "framing": {"fit": "shorter", "edge": 256, "filter": "bilinear"},
    "license": "CC-BY-4.0",
    "source": "https://doi.org/...",
}
# Digits of the digest in names.
_DIGITS = 8


@dataclass(frozen=True, eq=False)
class Graph:
    """What a network's file states: shapes, the batch first, have None where no size is fixed."""

    inputs: Mapping[str, Shape]
    # Type of the numbers of the first input.
    number: str
    # From the input's shape to the shape of each output by name.
    outputs: Callable[[tuple[int, ...]], Mapping[str, Shape]]
    parameters: int | None = None


def check_file(prefix: str, reference: str, suffix: str = "") -> Path:
    """Return the path of a network's file, which must be there."""
    path = Path(reference)
    if path.is_file() and path.stat().st_size:
        return path
    what = "is empty" if path.is_file() else "does not exist"
    raise UsageError(
        f"the file {path} of a network {'is a directory' if path.is_dir() else what}; name a file, "
        f"as in {prefix}:FILE.{suffix or prefix}"
    )


def make_record(
    prefix: str,
    file: Path,
    digest: str,
    graph: Graph,
    size: int | None,
    opener: Callable[[Backbone, str], Network],
    engines: tuple[str, ...],
) -> Backbone:
    """Return the record of a network's file, by what it and its card state.

    Raises
    ------
    UsageError
        If fields of the card are missing or wrong, or contradict the file.
    """
    return _Reader(file, graph, size).record(prefix, digest, opener, engines)


class _Reader:
    """One file with its card."""

    def __init__(self, file: Path, graph: Graph, size: int | None) -> None:
        self.file = file
        self.path = file.with_suffix(".json")
        self.graph = graph
        self.shape = self._input_shape()
        self.card = self._read()
        self.missing = [name for name in _ALWAYS if name not in self.card]
        self.layout = self._find_layout()
        self.size = self._find_size(size)
        self.shapes: Mapping[str, Shape] = {}

    def record(
        self,
        prefix: str,
        digest: str,
        opener: Callable[[Backbone, str], Network],
        engines: tuple[str, ...],
    ) -> Backbone:
        """Return the record; all missing fields are named in one error."""
        stated = self.card.get("sha256", digest)
        if stated != digest:
            raise self._problem(
                f"its SHA-256 is {digest}, and its card states {stated!r:.70}. It was damaged or "
                "replaced: copy the network with its card again"
            )
        shape: Shape = ()
        if self.layout and self.size:
            output, shape = self._find_output(self._channels_of_graph())
        if len(shape) == 3:
            self.missing += [n for n in ("pooling", "prefix_tokens") if n not in self.card]
        if self.missing:
            raise self._error(f"lacks {', '.join(dict.fromkeys(self.missing))}")
        tokens: dict[str, Any] = {}
        if len(shape) == 3:
            own = self._choice("pooling", TOKEN_POOLINGS[1:])
            tokens = {"own_pooling": own, "prefix_tokens": self._number("prefix_tokens", 0)}
        elif {"pooling", "prefix_tokens"} & self.card.keys():
            raise self._error(
                f"states pooling or prefix_tokens, which are for tokens; the output {output} of "
                f"shape {shape} has none, so leave them out"
            )
        channel = 1 if len(shape) == 4 and self.layout == "NCHW" else -1
        features = shape[channel] if len(shape) in (2, 3, 4) else None
        if not isinstance(features, int):
            raise self._problem(
                f"its output {output} has the shape {shape}; featx takes (n, features), "
                "(n, tokens, features) or feature maps of fixed channels"
            )
        stages = self._stages()
        poolings = {2: ("average",), 3: TOKEN_POOLINGS}.get(len(shape), MAP_POOLINGS)
        able = self._texts("poolings", poolings)
        quantized = self._origin()
        preprocessing, channels = self._preprocessing()
        framing = self._framing()
        decisive = [digest, *map(repr, (preprocessing, channels, framing, output, tokens))]
        return Backbone(
            name=f"{prefix}:{self.file.stem}-{digest_of_values(decisive)[:_DIGITS]}",
            title=self._text("title") if "title" in self.card else self.file.stem,
            size=self.size,
            features=features,
            preprocessing=preprocessing,
            digest=digest,
            opener=opener,
            license=self._text("license"),
            source=self._text("source"),
            framing=framing,
            channels=channels,
            layout=self.layout,
            output=output,
            poolings=tuple(p for p in poolings if p in able and (stages or p != MULTI_DEPTH)),
            stages=stages,
            parameters=quantized.get("parameters", self.graph.parameters),
            path=self.file,
            engines=engines,
            quantized_from=quantized,
            **tokens,
        )

    def _problem(self, text: str) -> UsageError:
        return UsageError(f"the network {self.file} cannot be used: {text}")

    def _error(self, text: str) -> UsageError:
        return UsageError(
            f"the card {self.path} {text}. For example, with the values that the network was "
            f"trained with: {json.dumps(_EXAMPLE)}"
        )

    def _read(self) -> dict[str, Any]:
        try:
            card = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._error(f"cannot be read ({error})") from error
        if not isinstance(card, dict):
            raise self._error("is not a JSON object")
        check_names(f"field of the card {self.path}", card, (*_ALWAYS, *_OTHERS, *_OF_INT8))
        return card

    def _input_shape(self) -> Shape:
        if len(self.graph.inputs) != 1:
            raise self._problem(
                f"it has {len(self.graph.inputs)} inputs ({listed(self.graph.inputs, 5)}), and "
                "featx gives one image; export it with one input"
            )
        (shape,) = self.graph.inputs.values()
        if self.graph.number != "float32":
            raise self._problem(
                f"its input is of type {self.graph.number}; export it with an input of float32"
            )
        if len(shape) != 4 or shape[0] not in (None, 1):
            raise self._problem(
                f"its input has the shape {shape}; export it with a free batch and three channels "
                "or one: (None, 3, height, width) or (None, height, width, 3)"
            )
        return shape

    def _find_layout(self) -> Any:
        stated = self.card.get("layout")
        if stated is not None:
            stated = self._choice("layout", _LAYOUTS)
        able = [
            layout
            for layout, axis in zip(_LAYOUTS, (1, 3), strict=True)
            if self.shape[axis] in (None, 1, 3) and stated in (None, layout)
        ]
        fixed = [each for each in able if self.shape[1 if each == "NCHW" else 3] is not None]
        found = fixed if len(fixed) == 1 else able
        if not found:
            raise self._problem(
                f"its input has the shape {self.shape}, without an axis of three channels or one"
                + (f" where the layout {stated} of its card has it" if stated else "")
            )
        if len(found) > 1:
            self.missing.append("layout")
            return None
        return found[0]

    def _channels_of_graph(self) -> int:
        """Return the channels by the file, or else by the card's color."""
        fixed = self.shape[1 if self.layout == "NCHW" else 3]
        return fixed or (1 if self.card.get("color") == "gray" else 3)

    def _find_size(self, asked: int | None) -> Any:
        if self.layout is None:
            return None
        fixed = self.shape[2:] if self.layout == "NCHW" else self.shape[1:3]
        stated = self.card.get("size")
        pair = stated if isinstance(stated, list) else [stated, stated]
        pair = [asked, asked] if asked is not None and None in fixed else pair
        if None in fixed and None in pair:
            self.missing.append("size")
            return None
        found = [have or want for have, want in zip(fixed, pair, strict=True)]
        wanted = [each for each in (pair if stated else None, asked and [asked] * 2) if each]
        if any(each != found for each in wanted) or not all(isinstance(n, int) for n in found):
            raise self._problem(
                f"its input is of {found[0]} x {found[1]} pixels, and its card or name states "
                f"{' and '.join(f'{each[0]} x {each[1]}' for each in wanted)}; correct it"
            )
        return (found[0], found[1])

    def _find_output(self, channels: int) -> tuple[str, Shape]:
        order = (channels, *self.size) if self.layout == "NCHW" else (*self.size, channels)
        shapes = self.shapes = self.graph.outputs((1, *order))
        name = self.card.get("output")
        if name is None and len(shapes) > 1:
            self.missing.append(f"output (one of {', '.join(shapes)})")
            return "", ()
        if name is not None:
            check_names(f"output of {self.file}", [name], shapes)
        name = name or next(iter(shapes))
        return name, tuple(shapes[name])

    def _stages(self) -> tuple[Stage, ...]:
        """Return the outputs that pooling ``"multi_depth"`` takes, if the card names some."""
        names = self._texts("stages", [])
        check_names(f"output of {self.file}", names, self.shapes)
        shapes: list[Any] = [self.shapes[name] for name in names]
        if any(len(shape) != 4 for shape in shapes):
            raise self._error(f"states the stages {names}, which are not all feature maps")
        side, channel = (2, 1) if self.layout == "NCHW" else (1, 3)
        facts = [(shape[channel], round(self.size[0] / shape[side])) for shape in shapes]
        return tuple(Stage(name, *each) for name, each in zip(names, facts, strict=True))

    def _preprocessing(self) -> tuple[Preprocessing, Any]:
        color = self._choice("color", _COLORS)
        channels = 1 if color == "gray" else 3
        if self._channels_of_graph() != channels:
            raise self._error(
                f"states the color {color!r}, and the network takes {self._channels_of_graph()} "
                "channel(s)"
            )
        low, high = self._numbers("range", 2)
        if low >= high:
            raise self._error(f"states the range {[low, high]}, whose bounds do not increase")
        step = (high - low) / 255
        mean, scale = self._numbers("mean", channels), self._numbers("scale", channels)
        if min(scale) <= 0:
            raise self._error(f"states the scale {list(scale)}, which has to be positive")
        return Preprocessing(
            mean=tuple((each - low) / step for each in mean),
            scale=tuple(each / step for each in scale),
            bgr=color == "bgr",
        ), channels

    def _framing(self) -> Framing:
        try:
            framing = Framing.from_value(self.card["framing"])
            framing.check_size(self.size)
        except (UsageError, TypeError, ValueError) as error:
            stated = json.dumps(self.card["framing"])
            raise self._error(f"states the framing {stated}, which is none ({error})") from error
        return framing

    def _origin(self) -> dict[str, Any]:
        """Return the network in float32 that this one was quantized from, if any."""
        found = self.card.get("quantized_from", {})
        kinds = {"backbone": str, "size": list, "weights": str, "images": list}
        if "quantized_from" in self.card and not (
            isinstance(found, dict)
            and all(isinstance(found.get(name), kind) for name, kind in kinds.items())
        ):
            raise self._error(f"states quantized_from {found!r:.60}, not as featx writes it")
        return found

    def _texts(self, name: str, default: Sequence[str]) -> Sequence[str]:
        texts = self.card.get(name, default)
        if isinstance(texts, str) or not (
            isinstance(texts, list | tuple) and all(isinstance(each, str) for each in texts)
        ):
            raise self._error(f"states {name} {texts!r:.60}, where a list of texts is needed")
        return texts

    def _choice(self, name: str, known: Sequence[str]) -> str:
        return find_name(f"{name} for the card {self.path}:", self.card[name], known)

    def _text(self, name: str) -> str:
        text = self.card[name]
        if not isinstance(text, str) or not text.strip():
            raise self._error(f"states {name} {text!r}, where text is needed")
        return text

    def _number(self, name: str, least: int) -> int:
        value = self.card[name]
        if type(value) is not int or value < least:
            raise self._error(f"states {name} {value!r}, where a number from {least} on is needed")
        return value

    def _numbers(self, name: str, count: int) -> tuple[float, ...]:
        values = self.card[name]
        values = values if isinstance(values, list) else [values] * count
        able = all(type(value) in (int, float) and math.isfinite(value) for value in values)
        if len(values) != count or not able:
            raise self._error(
                f"states {name} {self.card[name]!r}, where {count} number(s) are needed"
            )
        return tuple(map(float, values))
