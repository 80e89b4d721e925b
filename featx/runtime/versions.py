"""Versions of the libraries that decide numbers, and what another version may change."""

from __future__ import annotations

import contextlib
import functools
import logging
import platform
import re
from collections.abc import Collection, Mapping
from importlib import metadata

from featx.errors import UsageError

logger = logging.getLogger(__name__)

DECIDES = {
    "pillow": "pixels",
    "simplejpeg": "pixels",
    "opencv-python-headless": "pixels",
    "pydicom": "pixels",
    "pylibjpeg": "pixels",
    "pylibjpeg-libjpeg": "pixels",
    "pylibjpeg-openjpeg": "pixels",
    "tifffile": "pixels",
    "imagecodecs": "pixels",
    "keras": "features",
    "tensorflow": "features",
    "jax": "features",
    "torch": "features",
    "openvino": "features",
    "nncf": "features",
    "numpy": "scores",
    "scipy": "scores",
    "scikit-learn": "scores",
    "scikit-learn-intelex": "scores",
    "xgboost": "scores",
}
"""What each library decides, by the name of its package."""

# What a matrix depends on; a model depends on scores, too.
_OF_FEATURES = ("pixels", "features")

# The same library under other names of packages.
_VARIANTS = {
    "opencv-python-headless": (
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "tensorflow": ("tensorflow-cpu",),
    "xgboost": ("xgboost-cpu",),
}

# Named in files of every version.
_ALWAYS = ("featx", "numpy", "h5py", "pillow", "opencv-python-headless", "keras")

# Warping of OpenCV 5 moves views by up to 2.5 gray levels from those of OpenCV 4.
_KNOWN_TO_CHANGE = ("opencv-python-headless",)


def decisive_versions() -> dict[str, str]:
    """Return the versions of the installed libraries that decide numbers, importing none."""
    return chosen_versions(*DECIDES)


def chosen_versions(*names: str) -> dict[str, str]:
    """Return the versions of those libraries that are installed, importing none."""
    found = {name: _installed(name, *_VARIANTS.get(name, ())) for name in names}
    return {name: version for name, version in found.items() if version}


def library_versions(*others: str) -> dict[str, str]:
    """Return the versions of the libraries that files of featx name, and of others, if installed.

    Nothing is imported; packages keep their own names.
    """
    found = {name: _installed(name) for name in (*_ALWAYS, *others)}
    return {name: version for name, version in found.items() if version}


def environment_versions() -> dict[str, str]:
    """Return the versions of Python and of all libraries that featx uses."""
    variants = [package for packages in _VARIANTS.values() for package in packages]
    libraries = library_versions("skops", *DECIDES, *variants)
    return {"python": platform.python_version(), **libraries}


@functools.cache
def _installed(*packages: str) -> str:
    """Return the version of the first package that is installed, or nothing."""
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return ""


def versions_of_features(versions: Mapping[str, str]) -> dict[str, str]:
    """Return those versions that decide pixels and features."""
    return {
        name: version for name, version in versions.items() if DECIDES.get(name) in _OF_FEATURES
    }


def check_versions(
    then: Mapping[str, str],
    now: Mapping[str, str],
    what: str,
    other: str,
    kinds: Collection[str] = _OF_FEATURES,
) -> None:
    """Refuse versions between which numbers are known to change; warn of other differences.

    Libraries that one side does not name are not compared. `what` has the versions `then` and
    `other` the versions `now`, in words; kinds are those of `DECIDES`.
    """
    if "pixels" in kinds:
        check_known_changes(then, now, what, other)
    then, now = _by_library(then), _by_library(now)
    differing = [
        name
        for name, kind in DECIDES.items()
        if kind in kinds and name in then and name in now and then[name] != now[name]
    ]
    if not differing:
        return
    changed = list(dict.fromkeys(DECIDES[name] for name in differing))
    pairs = ", ".join(f"{name} {then[name]} and {now[name]}" for name in differing)
    pins = " ".join(f"{name}=={then[name]}" for name in differing)
    logger.warning(
        f"{what} and {other} differ in {pairs} ({what} first): {', '.join(changed)} may differ a "
        f"little. If it matters, install the versions of {what} (pip install {pins}), or extract "
        "and fit again with one version."
    )


def check_known_changes(
    then: Mapping[str, str], now: Mapping[str, str], what: str, other: str
) -> None:
    """Refuse versions between which numbers are known to change, as `check_versions` does."""
    then, now = _by_library(then), _by_library(now)
    for name in _KNOWN_TO_CHANGE:
        one, two = then.get(name), now.get(name)
        if one is not None and two is not None and _major(one) != _major(two):
            raise UsageError(
                f"{what} was made with {name} {one}, and {other} with {name} {two}: pixels are "
                f"known to differ. Install the version of {what} (pip install {name}=={one}), or "
                "extract and fit again with one version"
            )


def _by_library(versions: Mapping[str, str]) -> dict[str, str]:
    renamed = {other: name for name, others in _VARIANTS.items() for other in others}
    return {renamed.get(package, package): version for package, version in versions.items()}


def _major(version: str) -> str:
    return re.split(r"[^0-9]", version, maxsplit=1)[0]
