"""Precision: the numbers that a frozen network computes with."""

from __future__ import annotations

from featx.errors import UsageError, unknown_name

__all__ = ["HALF", "PRECISIONS", "check_precision", "split_precision", "with_precision"]

HALF = ("float16", "bfloat16")

PRECISIONS = ("float32", *HALF, "int8")


def check_precision(precision: str, engine: str = "auto") -> None:
    """Refuse a precision that is not known, or that an engine does not compute in.

    Examples
    --------
    >>> check_precision("int8", "keras")
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: the keras engine does not compute in int8; the openvino engine does
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    able = {"int8": "openvino", **dict.fromkeys(HALF, "keras")}.get(precision, engine)
    if engine not in ("auto", able):
        raise UsageError(
            f"the {engine} engine does not compute in {precision}; the {able} engine does"
        )


def split_precision(backbones: str) -> tuple[list[str], str | None]:
    """Split joined backbone names from the precision that they end with.

    Examples
    --------
    >>> split_precision("xception@160@int8")
    (['xception@160'], 'int8')
    >>> split_precision("vgg16+resnet50")
    (['vgg16', 'resnet50'], None)
    """
    names: list[str] = []
    found: set[str | None] = set()
    for part in backbones.split("+"):
        name, _, last = part.rpartition("@")
        precision = last if last in PRECISIONS else None
        names.append(part if precision is None else name)
        found.add(precision)
    if len(found) > 1:
        raise UsageError(
            f"{backbones}: joined backbones must compute in one precision; end each name with the "
            "same precision, or none"
        )
    return names, found.pop()


def with_precision(backbones: str, default: str) -> str:
    """Write joined backbone names with their precision, unless that is float32.

    Examples
    --------
    >>> with_precision("vgg16+resnet50", "int8"), with_precision("vgg16@float32", "int8")
    ('vgg16@int8+resnet50@int8', 'vgg16')
    """
    names, precision = split_precision(backbones)
    chosen = precision or default
    return "+".join(name if chosen == "float32" else f"{name}@{chosen}" for name in names)
