"""Precision: the numbers that a frozen network computes with."""

from __future__ import annotations

from featx.errors import UsageError, unknown_name

__all__ = ["HALF", "PRECISIONS", "check_precision"]

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
