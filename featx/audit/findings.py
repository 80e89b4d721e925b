"""Findings of the audit, typed: kind, severity, count, examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """Record one finding of the audit of a set of images.

    Findings are made by `featx.audit.leakage.audit_split` and listed in ``run.json``.

    Parameters
    ----------
    kind : str
        One of ``exact-duplicates-across``, ``near-duplicates-across``, ``patients-across``,
        ``leaks-left-out``, ``labels-differ``, ``duplicates-within``, ``unreadable``, ``constant``
        and ``class-share``.
    severity : {"leak", "warning", "information"}
        A leak makes scores too good.
    count : int
        Number of images, pairs, patients or classes concerned.
    examples : tuple of str, default=()
        Names of at most ten of them.
    details : mapping, default={}
        What the text needs besides: the evaluated set of duplicates across the split (``set``),
        the class proportions of training and test images.

    Examples
    --------
    >>> finding = Finding("patients-across", "leak", 2, ("patient 7", "patient 9"))
    >>> finding.text
    '2 patients have images in both training and test.'
    >>> Finding.from_dict(finding.to_dict()) == finding
    True
    """

    kind: str
    severity: str
    count: int
    examples: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """One sentence."""
        if "text" in self.details:
            return str(self.details["text"])
        return _TEXTS[self.kind](self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``run.json``."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "count": self.count,
            "text": self.text,
            "examples": list(self.examples),
            "details": dict(self.details),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """Read what `to_dict` returned; findings without details keep their text as written.

        Parameters
        ----------
        values : mapping
            An entry of ``audit.findings`` in ``run.json``, of any version.
        """
        details = values.get("details", {"text": values["text"]})
        return cls(
            values["kind"],
            values["severity"],
            values["count"],
            tuple(values.get("examples", ())),
            details,
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def _duplicates_across(how: str) -> Callable[[Finding], str]:
    def text(found: Finding) -> str:
        pairs = _count(found.count, "pair")
        tested = found.details["set"]
        return f"{pairs} of {how} images {_be(found.count)} in both training and {tested}."

    return text


def _left_out(found: Finding) -> str:
    images = _count(found.count, "training image")
    was = "was" if found.count == 1 else "were"
    return f"{images} {was} left out: duplicates of test images, or images of test patients."


def _class_proportions(found: Finding) -> str:
    def listed(name: str) -> str:
        proportions = found.details[name].items()
        return ", ".join(f"{100 * value:.1f} % {label}" for label, value in proportions)

    return f"Training images are {listed('training')}; test images are {listed('test')}."


_TEXTS: dict[str, Callable[[Finding], str]] = {
    "exact-duplicates-across": _duplicates_across("pixel-identical"),
    "near-duplicates-across": _duplicates_across("nearly identical"),
    "patients-across": lambda f: (
        f"{_count(f.count, 'patient')} {'has' if f.count == 1 else 'have'} images in both training "
        "and test."
    ),
    "leaks-left-out": _left_out,
    "labels-differ": lambda f: (
        f"{_count(f.count, 'pair')} of duplicates {'has' if f.count == 1 else 'have'} two "
        "different labels: one label is wrong."
    ),
    "duplicates-within": lambda f: (
        f"{_count(f.count, 'pair')} of images in one part of the split {_be(f.count)} duplicates; "
        "patients who share an image stay in one part."
    ),
    "unreadable": lambda f: (
        f"{_count(f.count, 'image')} could not be read and {'was' if f.count == 1 else 'were'} "
        "left out."
    ),
    "constant": lambda f: (
        f"{_count(f.count, 'image')} {'has' if f.count == 1 else 'have'} the same intensity "
        "everywhere."
    ),
    "class-share": _class_proportions,
}
