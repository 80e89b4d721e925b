"""Snapshot of the public signatures, so that no change of them goes unnoticed.

After a deliberate change: ``python -m tests.test_public_api > tests/public_api.txt``
"""

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import featx
import featx.errors
import featx.metrics

METRICS = [
    importlib.import_module(f"featx.metrics.{module.name}")
    for module in pkgutil.iter_modules(featx.metrics.__path__)
    if not module.name.startswith("_")
]
MODULES = [featx, featx.errors, *METRICS]
SNAPSHOT = Path(__file__).with_name("public_api.txt")


def describe(name, value):
    """Yield the signature of a function, or those of a class and its public members."""
    if not callable(value):
        yield name
        return
    # Exceptions have the signature of a builtin.
    plain = inspect.isclass(value) and issubclass(value, Exception)
    yield name if plain else f"{name}{inspect.signature(value)}"
    if not inspect.isclass(value) or plain:
        return
    for member in sorted(set(dir(value))):
        found = inspect.getattr_static(value, member)
        # Members of scikit-learn, NumPy or Python itself are theirs.
        home = next(cls for cls in value.__mro__ if member in vars(cls)).__module__
        if member.startswith("_") or not home.startswith("featx"):
            continue
        if isinstance(found, staticmethod | classmethod) or inspect.isfunction(found):
            yield f"{name}.{member}{inspect.signature(getattr(value, member))}"
        else:
            yield f"{name}.{member}"


def public_api():
    lines = []
    for module in MODULES:
        for name in sorted(module.__all__):
            if not inspect.ismodule(getattr(module, name)):
                lines += describe(f"{module.__name__}.{name}", getattr(module, name))
    return "".join(f"{line}\n" for line in lines)


def test_signatures_are_those_of_the_snapshot():
    assert public_api() == SNAPSHOT.read_text(encoding="utf-8")


def test_dir_is_the_public_api():
    assert set(dir(featx)) == {*featx.__all__, "__version__"}


def test_every_public_name_is_documented():
    for name in featx.__all__:
        summary = getattr(featx, name).__doc__.strip().splitlines()[0]
        assert summary.endswith("."), (name, summary)
        assert len(summary.split()) <= 12, (name, summary)


if __name__ == "__main__":
    sys.stdout.write(public_api())
