"""Findings of the audit, typed: kind, severity, count, examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featx.errors import UsageError

# What to do with images of training that are evaluated, too.
LEAKS = ("error", "drop", "allow")

_MOST_EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """Record one finding of the audit of a set of images.

    Findings are made by `featx.audit.leakage.audit_split` and listed in ``run.json``.

    Parameters
    ----------
    kind : str
        One of ``exact-duplicates-across``, ``near-duplicates-across``, ``patients-across``,
        ``duplicates-between-sets``, ``patients-between-sets``, ``patients-joined``,
        ``leaks-left-out``, ``labels-differ``, ``duplicates-within``, ``unreadable``, ``constant``,
        ``tiny``, ``depths-differ`` and ``class-share``; of the images given to a model
        ``trained-on-images``, ``trained-on-copies``, ``tuned-on-images``, ``trained-on-patients``,
        ``adapted-to``, ``patients-not-compared``, ``trained-on-left-out``, ``training-unknown``,
        ``quantized-on``, ``untypical`` and ``typicality-unknown``.
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
        # Early versions stored no links.
        words |= {"links": "duplicates or patients"}
        words |= {"were": "was" if one else "were", "have": "has" if one else "have"}
        return _TEXTS[self.kind].format(n=f"{self.count:,}", **{**words, **self.details})

    @property
    def alarm(self) -> str:
        """The sentence; a leak is called one."""
        return (
            f"LEAK: {self.text} All scores are too high." if self.severity == "leak" else self.text
        )

    @property
    def named(self) -> str:
        """The alarm with some examples."""
        return (
            f"{self.alarm} Examples: {'; '.join(self.examples[:3])}."
            if self.examples
            else self.alarm
        )

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


def make_finding(
    kind: str, severity: str, examples: Sequence[str], details: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Make a finding of everything named, or none.

    Examples
    --------
    >>> make_finding("constant", "warning", ["black.png"])[0].text
    '1 image has the same intensity everywhere.'
    """
    shown = tuple(examples[:_MOST_EXAMPLES])
    return [Finding(kind, severity, len(examples), shown, details or {})] if examples else []


def find_where(
    kind: str,
    severity: str,
    names: Sequence[str],
    mask: Iterable[bool],
    details: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Make a finding of the names where a mask holds, or none."""
    found = [name for name, chosen in zip(names, mask, strict=True) if chosen]
    return make_finding(kind, severity, found, details)


def leak_error(problem: str, leaks: Sequence[Finding], drop: str, allow: str) -> UsageError:
    """Return the error of leaks that are not allowed."""
    texts = [f"{leak.text} Examples: {'; '.join(leak.examples[:3])}." for leak in leaks]
    return UsageError(
        f"{problem}. {' '.join(texts)} Use --leaks drop (leaks='drop') to {drop}, or --leaks allow "
        f"to {allow}"
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
    "duplicates-between-sets": "{n} pair{s} of duplicates {are} in both {first} and {second}.",
    "patients-between-sets": "{n} patient{s} {have} the same name in {first} and {second}; if they "
    "are the same people, estimates on {second} are too good.",
    "patients-joined": "{n} patient{s} {are} counted as one with another patient who has the same "
    "image.",
    "leaks-left-out": "{n} training image{s} {were} left out: test images lead to them by {links}.",
    "labels-differ": "{n} pair{s} of duplicates {have} two different labels: one label is wrong.",
    "duplicates-within": "{n} pair{s} of images in one part of the split {are} duplicates; "
    "they stay together.",
    "unreadable": "{n} image{s} could not be read and {were} left out.",
    "constant": "{n} image{s} {have} the same intensity everywhere.",
    "tiny": "{n} image{s} {are} less than 16 pixels high or wide.",
    "untypical": "{n} of {total:,} images {are} unlike the training images of the model: their "
    "typicality is at most {limit:.3g}, which chance alone gives to that proportion of images like "
    "those. Inspect them before you use their probabilities.",
    "typicality-unknown": "The model was fitted by an older featx and does not say whether these "
    "{n} images are like its training images; fit it again to know.",
    "trained-on-images": "{n} image{s} {are} among the training images of the model.",
    "trained-on-copies": "{n} image{s} {have} the features of a training image of the model.",
    "adapted-to": "{n} image{s} {are} among those that the model was adapted to without labels: "
    "figures on them do not hold for images that come later.",
    "tuned-on-images": "{n} image{s} {are} among those that tuned the model's network, or {are} of "
    "their patients.",
    "quantized-on": "{n} image{s} {are} among those that {network} was quantized on, without "
    "labels: figures on them may be too good. Quantize it on other images.",
    "trained-on-patients": "{n} patient{s} {have} the name of a patient that the model was trained "
    "on.",
    "trained-on-left-out": "{n} image{s} {were} left out: the model was trained on the same images "
    "or patients.",
    "patients-not-compared": "{n} patient{s} {were} not compared with those of training, which "
    "were hashed with another secret; set FEATX_PATIENT_SECRET to the same value in both places.",
    "training-unknown": "The model does not say which images it was trained on; they may be among "
    "these {n}.",
    "depths-differ": "{n} image{s} of 16-bit pixels without a declared depth {are} read at another "
    "depth than most ({depths}), so their brightness does not compare.",
}
