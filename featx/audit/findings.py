"""Findings of the audit, typed: kind, severity, count, examples."""

from __future__ import annotations

from collections.abc import Mapping
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
        ``leaks-left-out``, ``labels-differ``, ``duplicates-within``, ``unreadable``, ``constant``,
        ``depths-differ`` and ``class-share``.
    severity : {"leak", "warning", "information"}
        A leak makes scores too good.
    count : int
        Number of images, pairs, patients or classes concerned.
    examples : tuple of str, default=()
        Names of at most ten of them.
    details : mapping, default={}
        What the text needs besides: the evaluated set of duplicates across the split (``set``),
        the class proportions of training and test images, the number of images by depth.

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
        if self.kind == "class-share":
            return _class_proportions(self.details)
        one = self.count == 1
        words = {"s": "" if one else "s", "are": "is" if one else "are"}
        words |= {"were": "was" if one else "were", "have": "has" if one else "have"}
        return _TEXTS[self.kind].format(n=f"{self.count:,}", **words, **self.details)

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


def _class_proportions(details: Mapping[str, Any]) -> str:
    training, test = (
        ", ".join(f"{100 * value:.1f} % {label}" for label, value in details[name].items())
        for name in ("training", "test")
    )
    return f"Training images are {training}; test images are {test}."


_TEXTS = {
    "exact-duplicates-across": "{n} pair{s} of pixel-identical images {are} in both training and "
    "{set}.",
    "near-duplicates-across": "{n} pair{s} of nearly identical images {are} in both training and "
    "{set}.",
    "patients-across": "{n} patient{s} {have} images in both training and test.",
    "leaks-left-out": "{n} training image{s} {were} left out: duplicates of test images, or images "
    "of test patients.",
    "labels-differ": "{n} pair{s} of duplicates {have} two different labels: one label is wrong.",
    "duplicates-within": "{n} pair{s} of images in one part of the split {are} duplicates; "
    "patients who share an image stay in one part.",
    "unreadable": "{n} image{s} could not be read and {were} left out.",
    "constant": "{n} image{s} {have} the same intensity everywhere.",
    "depths-differ": "{n} image{s} of 16-bit pixels without a declared depth {are} read at another "
    "depth than most ({depths}), so their brightness does not compare.",
}
