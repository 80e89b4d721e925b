"""Records of networks that users bring: from a file, a hub, a package or a Python function."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from featx.backbones.pooling import MULTI_DEPTH
from featx.backbones.spec import BackboneSpec, Preprocessing, Stage
from featx.errors import FeatxError, UsageError
from featx.images.framing import SQUASH, Framing

# Prefix of the names of Python functions.
PYTHON = "python:"

Pixels = npt.NDArray[np.float32]


class Network(Protocol):
    """A network in memory, from input as its record describes it to what is pooled."""

    @property
    def batch_size(self) -> int:
        """Rows of a batch, always filled, so that a row does not depend on other images."""
        ...

    @property
    def preferred(self) -> bool:
        """Whether its own library is preferred to OpenVINO, as on a GPU."""
        ...

    @property
    def libraries(self) -> tuple[str, ...]:
        """Packages that decide a conversion to OpenVINO, which is kept; none where it is quick."""
        ...

    def run(self, inputs: Pixels) -> Sequence[Pixels]:
        """Compute a batch: vectors (n, d), tokens (n, t, d), or maps in the record's layout.

        Several maps are those of the stages, for pooling ``"multi_depth"``.
        """
        ...

    def openvino(self) -> Any:
        """Return an OpenVINO model of one image with the same outputs; FeatxError if none."""
        ...

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that determine the numbers of `run`."""
        ...


@dataclass(frozen=True, repr=False, kw_only=True)
class Backbone:
    """Frozen network from a file, a hub, a package or a function.

    `Backbone.from_callable` makes one of a function. Names such as ``"onnx:FILE.onnx"`` and
    ``"keras:FILE.keras"`` make one of a file and its card.

    Parameters
    ----------
    name : str
        Name in results and on the command line, without a path.
    title : str
        Name in texts.
    size : tuple of int
        Height and width of the input in pixels.
    features : int
        Length of the network's vector or tokens, or channels of its last map.
    preprocessing : Preprocessing
        Map from pixels (0 to 255) to the network's input.
    digest : str
        SHA-256 of the weights in hexadecimal, which recipes name.
    opener : callable
        Function of this record and of a pooling that loads the `Network`; importable by name.
    license : str
        License of the weights, as stated by their publisher.
    source : str
        Origin of the weights.
    framing : Framing, optional
        How an image becomes the input; by default squashed.
    channels : {3, 1}, default=3
        Channels of the input; a gray image is repeated for 3.
    layout : {"NHWC", "NCHW"}, default="NHWC"
        Order of the axes of input and maps.
    output : str, optional
        Name of the output to take, where the file has several.
    poolings : tuple of str, default=("average",)
        Poolings that the network's outputs allow.
    own_pooling : {"average", "class", "tokens"}, default="average"
        What ``"average"`` means of tokens: the class token, or the mean of the others.
    prefix_tokens : int, default=0
        Number of tokens before those of the image's patches.
    stages : tuple of Stage, default=()
        Stages for pooling ``"multi_depth"``.
    parameters : int, optional
        Number of weights, if known.
    path : Path, optional
        File or folder of the weights.
    engines : tuple of str, default=("openvino",)
        Engines that can run it, the preferred one first.
    precisions : tuple of str, default=("float32",)
        Precisions that it can be computed in.
    quantized_from : mapping, default={}
        Of an int8 network: name, size and weights of the float32 one, and the images by SHA-256.

    Examples
    --------
    >>> Backbone.from_callable(
    ...     lambda pixels: pixels.mean(axis=(1, 2)), name="mean-color", version="1", size=32,
    ...     license="Apache-2.0", source="this example")
    <Backbone python:mean-color: 32 x 32 pixels, 3 features>
    """

    name: str
    title: str
    size: tuple[int, int]
    features: int
    preprocessing: Preprocessing
    digest: str
    opener: Callable[[Backbone, str], Network]
    license: str
    source: str
    framing: Framing = SQUASH
    channels: Literal[1, 3] = 3
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    output: str = ""
    poolings: tuple[str, ...] = ("average",)
    own_pooling: str = "average"
    prefix_tokens: int = 0
    stages: tuple[Stage, ...] = ()
    parameters: int | None = None
    path: Path | None = None
    engines: tuple[str, ...] = ("openvino",)
    precisions: tuple[str, ...] = ("float32",)
    quantized_from: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)

    def __post_init__(self) -> None:
        self.framing.check_size(self.size)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Backbone {self.name}: {height} x {width} pixels, {self.features:,} features>"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, in its layout."""
        first = (self.channels, *self.size)
        return first if self.layout == "NCHW" else (*first[1:], first[0])

    @property
    def card(self) -> dict[str, Any]:
        """What decides features besides weights, size, framing and pooling, as plain values."""
        shown = self.preprocessing
        return {
            "mean": list(shown.mean),
            "scale": list(shown.scale),
            "color": "gray" if self.channels == 1 else "bgr" if shown.bgr else "rgb",
            "output": self.output,
            "own_pooling": self.own_pooling,
            "prefix_tokens": self.prefix_tokens,
        }

    def outputs(self, pooling: str) -> list[str]:
        """Return the names of the outputs that a pooling takes."""
        names = [stage.layer for stage in self.stages]
        return names if pooling == MULTI_DEPTH else [self.output]

    @property
    def allowed(self) -> dict[str, tuple[str, ...]]:
        """Values of settings that the network allows."""
        return {
            "engine": ("auto", *self.engines),
            "precision": self.precisions,
            "pooling": self.poolings,
            "color": ("gray",) if self.channels == 1 else ("gray", "rgb"),
        }

    @classmethod
    def from_callable(
        cls,
        function: Callable[[Pixels], Any],
        *,
        name: str,
        version: str,
        size: int | tuple[int, int],
        license: str,
        source: str,
        framing: Framing | str | Mapping[str, Any] = SQUASH,
        batch_size: int = 8,
    ) -> Backbone:
        """Return the backbone of a Python function, to be given wherever a name is.

        Name and version identify it in the cache: after any change of the function, give another
        version.

        Parameters
        ----------
        function : callable
            Function of an array of float32, shape (n, height, width, 3), RGB from 0 to 255, that
            returns an array of features, shape (n, features).
        name : str
            Letters, digits, ``.``, ``_`` and ``-``. A model names the network ``"python:NAME"``.
        version : str
            Version of function and weights.
        size : int or tuple of int
            Height and width of the input in pixels.
        license : str
            License of the weights.
        source : str
            Origin of the weights.
        framing : Framing, str or dict, default="squash"
            How an image becomes the input (`featx.images.framing.Framing`).
        batch_size : int, default=8
            Number of images of each call; missing ones are black, and their rows are dropped.

        Returns
        -------
        Backbone

        Raises
        ------
        UsageError
            If a name is not usable, or the features are not one finite row per image.
        """
        if not re.fullmatch(r"[\w.-]+", name) or not str(version).strip():
            raise UsageError(
                f"name={name!r}, version={version!r}: a network needs a name of letters, digits, "
                "'.', '_' and '-', and a version"
            )
        size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        framing = framing if isinstance(framing, Framing) else Framing.from_value(framing)
        network = _Function(function, name, batch_size)
        features = network.run(np.zeros((batch_size, *size, 3), dtype=np.float32))[0].shape[1]
        identity = f"{PYTHON}{name}\n{version}"
        return cls(
            name=PYTHON + name,
            title=f"{name}, version {version}",
            size=size,
            features=features,
            preprocessing=Preprocessing(mean=(0.0,) * 3, scale=(1.0,) * 3),
            digest=hashlib.sha256(identity.encode()).hexdigest(),
            opener=network.of,
            license=license,
            source=source,
            framing=framing,
            engines=("python",),
        )


@dataclass(frozen=True)
class _Function:
    """A Python function as a network."""

    function: Callable[[Pixels], Any] = field(repr=False)
    name: str
    batch_size: int
    preferred = True
    libraries = ()

    def of(self, _backbone: Backbone, _pooling: str) -> _Function:
        return self

    def run(self, inputs: Pixels) -> list[Pixels]:
        found = np.asarray(self.function(inputs.copy()))
        if found.ndim != 2 or len(found) != len(inputs) or found.dtype.kind not in "fiu":
            raise UsageError(
                f"the function of {PYTHON}{self.name} returned an array of shape {found.shape} and "
                f"type {found.dtype} for {len(inputs)} images; it has to return numbers of shape "
                f"({len(inputs)}, features)"
            )
        return [found.astype(np.float32, copy=False)]

    def openvino(self) -> Any:
        raise FeatxError(f"{PYTHON}{self.name} is a Python function, which OpenVINO cannot run")

    def versions(self) -> dict[str, str]:
        return {}


AnyBackbone = BackboneSpec | Backbone
