"""Drift check: features of fixed images show whether rows may be added to a cache."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from typing import TYPE_CHECKING

import h5py
import numpy as np
import numpy.typing as npt

from featx.errors import FeatxError
from featx.features.cache.store import FeatureStore
from featx.images.augmentation import make_view
from featx.images.normalization import normalize
from featx.images.reading import read_image
from featx.runtime.files import write_hdf5
from featx.runtime.process_state import rounding_variables
from featx.runtime.versions import library_versions

if TYPE_CHECKING:
    from featx.backbones.engines import Engine

# Relative to the largest feature. Engines and versions agree within 1e-4, a GPU's short floats
# within 1e-3.
TOLERANCE = 1e-3

_NAME = "probe.h5"

# A 24 x 24 JPEG with edges and slopes, so that another decoder shows, too.
_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZG"
    "NywtQFdBRkxOUlNSMj5aYVpQYEpRUk//wAALCAAYABgBAREA/8QAGAAAAgMAAAAAAAAAAAAAAAAABQYABAf/xAAn"
    "EAABBAECAwkAAAAAAAAAAAABAgMEEQAhMUFRoQUSEyIjMmGB0f/aAAgBAQAAPwAFEoBOlk7AccZ4fZjqmgpTiG1E"
    "e0pvrlphK21d1YII3sAYnQlhD7bhFhulVzx0hzGFNhwupBqyCdU/Fc8nih6Sp0ApBrc6/f5mbRZT16r5cBwGGYsp"
    "/T1Og3wxFlP6efoM/9k="
)


def check_drift(store: FeatureStore, engine: Engine, *, trusting: bool = True) -> None:
    """Compare an engine's features of the probe with those stored when the cache was new.

    The first extraction of a recipe stores them; a later one compares, unless `trusting` and its
    library versions are the same.
    """
    versions = {**library_versions(), **engine.versions(), "engine": engine.name}
    versions |= rounding_variables()
    path = store.folder / _NAME
    try:
        with h5py.File(io.BytesIO(path.read_bytes()), "r") as file:
            then, past = file["features"][:], json.loads(file.attrs["versions"])
    except (OSError, KeyError):
        # None yet, or damaged: later versions are compared with the features computed now.
        then, past = None, {}
    if trusting and then is not None and past == versions:
        return
    now = _probe(store, engine)
    if then is None:

        def write(file: h5py.File) -> None:
            file.attrs["versions"] = json.dumps(versions, sort_keys=True)
            file.create_dataset("features", data=now)

        # A read-only cache may lack it.
        with contextlib.suppress(FeatxError):
            write_hdf5(path, write)
        return
    drift = float(np.abs(now - then).max() / np.abs(then).max())
    if not drift <= TOLERANCE:
        raise FeatxError(
            f"the rows cached in {store.folder} were computed {_differences(past, versions)}, "
            f"which gives other features (by {drift:.1e} of the largest; up to {TOLERANCE:.0e} "
            "is accepted). They are not mixed: go back to the earlier versions, name another "
            f"--cache, or start over with `featx cache prune --recipe {store.folder.name}`"
        )


def _probe(store: FeatureStore, engine: Engine) -> npt.NDArray[np.float32]:
    recipe = store.recipe
    generator = np.random.Generator(np.random.PCG64(20))
    images = [
        read_image(_JPEG, recipe.color),
        *generator.integers(0, 256, (2, 40, 48), dtype=np.uint8),
    ]
    if recipe.color == "rgb":
        images[1:] = [np.repeat(image[..., np.newaxis], 3, axis=2) for image in images[1:]]
    images = [normalize(image, recipe.normalization) for image in images]
    views = [
        make_view(image, f"probe-{number}", view, *recipe.view_settings)
        for number, image in enumerate(images)
        for view in (0, 1)
    ]
    return engine.embed(np.stack(views))


def _differences(past: dict[str, str], present: dict[str, str]) -> str:
    names = sorted(name for name in {*past, *present} if past.get(name) != present.get(name))
    if not names:
        return "with the same versions on another machine"
    pairs = (f"{name} {past.get(name, 'absent')}" for name in names)
    new = (f"{name} {present.get(name, 'absent')}" for name in names)
    return f"with {', '.join(pairs)}; this is {', '.join(new)}"
