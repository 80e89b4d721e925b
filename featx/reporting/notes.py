"""Notes below a table: kind and numbers, with one function that writes them as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featx.audit.findings import Finding

_ALARMS = {
    "findings-alarm",
    "groups-alarm",
    "unfinished",
    "leak",
    "permuted",
    "shortcut",
    "collapsed",
    "synthetic",
    "alarm",
}

# The first version stored the kind of such a note only as its first word.
_STORED_ALARMS = ("LEAK", "SHORTCUT", "COLLAPSED", "SYNTHETIC")


@dataclass(frozen=True)
class Note:
    """Record one note that a reader of the table needs.

    ``run.json`` keeps the texts as ``notes`` and the records as ``note_records``; notes of folders
    that have texts only are of kind ``text`` or ``alarm``.

    Parameters
    ----------
    kind : str
        One of ``unfinished``, ``split``, ``confidence``, ``finding``, ``leak``, ``learning-curve``,
        ``internal-shifts``, ``externals-left-out``, ``findings``, ``findings-left-out``,
        ``findings-external``, ``findings-alarm``, ``groups``, ``groups-left-out``,
        ``groups-alarm``, ``mean-reference``, ``reference``, ``float32``, ``columns``, ``unit``,
        ``seeds``, ``fused``, ``network``, ``adapted``, ``collapsed``, ``off-center``,
        ``diagnosis``, ``permuted``, ``robustness``, ``few-patients``, ``few-images``,
        ``subgroups``, ``subgroup-differences``, ``small-subgroups``, ``shortcut``, ``typicality``,
        ``synthetic``, and ``text`` and ``alarm`` for stored texts.
    values : mapping, default={}
        Numbers and names that the text is rendered from.

    Examples
    --------
    >>> note = Note("shortcut", {"model": "metadata", "auc": 0.91, "best": 0.93})
    >>> print(note.text.split(",")[0], note.is_alarm)
    SHORTCUT: metadata alone reaches AUC 0.910 True
    >>> Note.from_dict(note.to_dict()) == note
    True
    """

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The note as text."""
        return _TEXTS[self.kind](self.values)

    @property
    def is_alarm(self) -> bool:
        """Whether no reader may overlook it."""
        return self.kind in _ALARMS

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": self.kind, "values": dict(self.values)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Note:
        """Read what `to_dict` returned."""
        return cls(values["kind"], values["values"])


def write_notes(notes: Sequence[Note]) -> dict[str, Any]:
    """Return the fields of ``run.json`` that hold notes: texts and records."""
    return {
        "notes": [note.text for note in notes],
        "note_records": [note.to_dict() for note in notes],
    }


def read_notes(run: Mapping[str, Any]) -> list[Note]:
    """Read the notes of ``run.json``, of any version.

    Examples
    --------
    >>> [note.text for note in read_notes({"notes": ["Intervals are at 95 %."]})]
    ['Intervals are at 95 %.']
    """
    if "note_records" in run:
        return [Note.from_dict(values) for values in run["note_records"]]
    return [
        Note("alarm" if text.startswith(_STORED_ALARMS) else "text", {"text": text})
        for text in run.get("notes", [])
    ]


def _split(values: Mapping[str, Any]) -> str:
    def counted(name: str) -> str:
        patients = values[f"{name}_patients"]
        known = "" if patients is None else f" of {patients:,} patients"
        return f"{values[f'{name}_images']:,} images{known}"

    if "group" in values:
        how = (
            f"the test set is {values['column']} {values['group']}, all other groups are for "
            "training"
        )
    elif values["test_size"] is None:
        how = "the data set's own test split; all other images are for training"
    else:
        unit = "images" if values["test_patients"] is None else "patients"
        how = (
            f"{100 * values['test_size']:.0f} % of the {unit} of each class held out "
            f"(seed {values['random_state']})"
        )
    unknown = " Patients are unknown." if values["test_patients"] is None else ""
    return (
        f"Trained on {counted('train')}, tested on {counted('test')}: {how}. The test set is "
        f"evaluated once.{unknown}"
    )


def _figure(value: float | None, spec: str) -> str:
    return "undefined" if value is None or math.isnan(value) else format(value, spec)


def _range(values: Mapping[str, Any], figure: str) -> str:
    low, high = values[figure]
    return f"{figure} {low:.3f} to {high:.3f}"


def _learning_curve(values: Mapping[str, Any]) -> str:
    (size, auc), *others = values["points"]
    parts = [f"{_figure(auc, '.3f')} with {size:,} training {values.get('unit', 'patients')}"]
    parts += [f"{_figure(auc, '.3f')} with {size:,}" for size, auc in others]
    return f"Learning curve of {values['name']}: AUC {', '.join(parts)}."


def _collapsed(values: Mapping[str, Any]) -> str:
    if values.get("set"):
        return f"COLLAPSED on {values['set']}: {values['model']} {values['reason']}."
    return f"COLLAPSED: {values['model']} {values['reason']}. It is no result."


def _reference(values: Mapping[str, Any]) -> str:
    unit = "images (of patients who also train)" if values.get("by") == "image" else "images"
    parts = [
        f"Compared with {values['model']}, the CNN with the highest AUC on its validation {unit}: "
        "DeLong's test for AUC, McNemar's for accuracy, Holm's correction."
    ]
    if values.get("no_candidates"):
        names = ", ".join(values["no_candidates"])
        parts.append(f"Validated on other images, so no candidates: {names}.")
    views, others = values.get("test_views"), values.get("others_views") or []
    if views and set(others) - {views}:
        counts = " or ".join(map(str, others))
        parts.append(
            f"It is tested on {views} view{'s' if views > 1 else ''} of each image, the others on "
            f"{counts}, so differences are of model and views together."
        )
    return " ".join(parts)


# What a control knows of the images, by its name.
_CONTROLS = {
    "metadata": "It holds sizes and color mode, nothing of the lungs.",
    "histogram": "It holds how often each gray level occurs, not where.",
    "center removed": "Its images are black in the middle, where the lungs are.",
    "outer border": "Its images are black but for a narrow border.",
    "random weights": "Its network was never trained on images, but sees the lungs.",
}


def _shortcut(values: Mapping[str, Any]) -> str:
    area, best = values["auc"], values["best"]
    if area >= best:
        size = "no model ranks better"
    else:
        size = f"{100 * (area - 0.5) / (best - 0.5):.0f} % of its distance from 0.5"
    known = _CONTROLS.get(values["model"], "")
    return (
        f"SHORTCUT: {values['model']} alone reaches AUC {area:.3f}, where the best model reaches "
        f"{best:.3f}: {size}. {known}{' ' if known else ''}Models may use the same differences, "
        "which may come from how the images were taken instead of from disease."
    )


def _unit(values: Mapping[str, Any]) -> str:
    unit, patients = values["unit"], values["patients"]
    how = "; ".join(f"{name}: {each}" for name, each in values["combined"].items())
    clusters = "" if unit == "patient" or patients is None else f" of {patients:,} patients"
    return (
        f"Rows by {unit}: the {values['images']:,} test images make {values['units']:,} "
        f"decisions{clusters}. The log-odds of a {unit}'s images are combined, calibrated and cut "
        "at a threshold, all chosen on out-of-fold predictions of training images (of CNNs, on "
        f"validation images). {how}."
    )


def _typicality(values: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count:,} by {name}" for name, count in values["networks"].items())
    return (
        f"Of the {values['images']:,} images of {values['set'] or 'the test set'}, unlike the "
        f"training images are: {counts} (1 % of images like those would be, more with few training "
        "images)."
    )


def _divided_by(columns: Sequence[Mapping[str, Any]]) -> str:
    """Write how columns divide images."""
    rules = {
        "values": "each value is a group",
        "given": "bands begin at {}",
        "ages": "bands of ages in years begin at {}",
        "quartiles": "bands begin at the quartiles of the training images, {}",
    }
    return "; ".join(
        f"{each['column']}: "
        + rules[each["rule"]].format(", ".join(map("{:g}".format, each["cuts"])))
        for each in columns
    )


def _subgroups(values: Mapping[str, Any]) -> str:
    return (
        f"Subgroups by {_divided_by(values['columns'])}. Intervals are clustered by patient; "
        "differences are from the largest group, corrected over the groups and figures of a column "
        "by Holm."
    )


def _groups(values: Mapping[str, Any]) -> str:
    (column,), groups = values["columns"], values["groups"]
    return (
        f"Each of {len(groups):,} groups ({', '.join(groups)}) is tested by models that are "
        f"trained on the images of the others ({_divided_by([column])}). Figures are means over "
        "groups, each of the same weight. Their intervals are clustered by patient and hold for "
        "the mean over these groups; how far groups are apart says what to expect of a new one."
        + (
            f" Small, with fewer than {values['needed']} effective {values['unit']} of a class: "
            f"{', '.join(values['small'])}."
            if values["small"]
            else ""
        )
    )


def _alarm_of_parts(values: Mapping[str, Any], what: str) -> str:
    found = ", ".join(
        f"{name}{' (' + ', '.join(models) + ')' if models else ''}"
        for name, models in values["findings"].items()
    )
    return f"{str(values['of']).upper()}: {found}. The pages of these {what} say more."


def _named_groups(pairs: Sequence[Sequence[str]]) -> str:
    return "; ".join(
        f"{column}: {', '.join(group for other, group in pairs if other == column)}"
        for column in dict.fromkeys(column for column, _ in pairs)
    )


def _subgroup_differences(values: Mapping[str, Any]) -> str:
    found = "; ".join(
        f"{v['column']} {v['group']} less {v['reference']}: "
        f"{v['figure'].replace('auc', 'AUC')} {v['difference']:+.3f} "
        f"({v['low']:+.3f} to {v['high']:+.3f}, p {v['p_value']:.2g})"
        for v in values["differences"]
    )
    where = f" on {values['set']}" if values["set"] else ""
    return f"Subgroups of {values['model']}{where} that differ: {found}."


_TEXTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda v: str(v["text"]),
    "alarm": lambda v: str(v["text"]),
    "unfinished": lambda v: (
        f"UNFINISHED: this run was stopped, or still goes on; it has {v['rows']:,} models so far. "
        "Give the same command again to continue."
    ),
    "split": _split,
    "confidence": lambda v: f"Intervals are at {100 * v['level']:.0f} %.",
    "finding": lambda v: Finding.from_dict(v).text,
    "leak": lambda v: Finding.from_dict(v).alarm,
    "findings": lambda v: (
        f"Figures are averages over {v['n']:,} findings, each a task of its own on the images for "
        "which it is known, split by patient once for all findings. Intervals of averages take "
        "into account that findings share patients."
    ),
    "findings-alarm": lambda v: _alarm_of_parts(v, "findings"),
    "groups": _groups,
    "groups-alarm": lambda v: _alarm_of_parts(v, "groups"),
    "groups-left-out": lambda v: f"Left out of groups by {v['column']}: {'; '.join(v['groups'])}.",
    "findings-left-out": lambda v: (
        f"Findings of too few patients, left out: {', '.join(v['findings'])}."
    ),
    "findings-external": lambda v: (
        f"Averages on {v['set']} are over {len(v['findings']):,} of the {v['n']:,} findings: "
        f"{', '.join(v['findings'])}."
    ),
    "externals-left-out": lambda v: (
        f"External sets that could not be used, and were left out: {', '.join(v['names'])}."
    ),
    "learning-curve": _learning_curve,
    "internal-shifts": lambda v: (
        f"Internal shifts: an operating point of {v['name']} chosen on one half of the training "
        f"images had {_range(v, 'sensitivity')} and {_range(v, 'specificity')} on the other half; "
        "the halves differ in size, shape, compression or brightness, as two collections may."
    ),
    "reference": _reference,
    "mean-reference": lambda v: (
        f"Mean AUC is compared with that of {v['model']}, the CNN with the highest mean AUC on its "
        "validation images: DeLong's variance by patient over all parts at once, corrected over "
        "rows by Holm."
    ),
    "float32": lambda v: (
        f"{v['model']}: AUC {_figure(v['auc'], '.4f')}, {_figure(v['difference'], '+.4f')} against "
        f"float32 (95 % CI {_figure(v['low'], '+.4f')} to {_figure(v['high'], '+.4f')})."
    ),
    "columns": lambda v: (
        f"{v['model']} (columns {', '.join(v['columns'])}): AUC {_figure(v['auc'], '.3f')}, "
        f"{_figure(v['value'], '+.3f')} against the columns alone (95 % CI "
        f"{_figure(v['low'], '+.3f')} to {_figure(v['high'], '+.3f')}, p "
        f"{_figure(v['p_value'], '.3g')} by DeLong's test, corrected by Holm): what the images add."
    ),
    "seeds": lambda v: (
        f"SD over seeds is that of the out-of-fold AUC of {v['times']} cross-validations on the "
        "training images, settings kept."
    ),
    "tuned": lambda v: (
        f"{v['model']}: fine-tuned on {v['tuning']:,} training images"
        f"{'' if v['patients'] is None else format(v['patients'], ',').join([' of ', ' patients'])}"
        f"; its classifiers, their calibration and thresholds are fitted to the other "
        f"{v['fitting']:,}. Its seconds to fit include the tuning."
    ),
    "fused": lambda v: (
        f"{v['model']} is the mean of the calibrated log-odds of {' and '.join(v['members'])}, its "
        f"operating point chosen out of fold on the {v['images']:,} distinct training images "
        "that tuned no network."
    ),
    "network": lambda v: (
        f"{v['model']} is {v['title']} (source: {v['source']}; license: {v['license']}; SHA-256 "
        f"{v['sha256']})."
    ),
    "adapted": lambda _: (
        "Adapted models have seen all images of the set that they are evaluated on, at once and "
        "without labels (transductive adaptation): their figures hold for collections that are "
        "given whole, and are not compared with those of other models."
    ),
    "collapsed": _collapsed,
    "off-center": lambda v: (
        f"Off center{' on ' + v['set'] if v.get('set') else ''}: {v['model']} {v['reason']}, but "
        f"ranks them better than chance (AUC {v['auc']:.3f}, {v['low']:.3f} to {v['high']:.3f}). "
        "Its threshold does not fit these images: use its AUC, not its accuracy."
    ),
    "diagnosis": lambda v: f"{v['model']}: {v['text']}",
    "few-images": lambda v: (
        f"Few images: {v['set'] or 'the test set'} has {v['patients']:.0f} of its rarest class. "
        f"With fewer than {v['needed']}, intervals may hold the true figure in less than 95 %."
    ),
    "few-patients": lambda v: (
        f"Few patients: the rarest class of {v['set'] or 'the test set'} has an effective number "
        f"of {v['patients']:.1f} (patients with many images outweigh others). With fewer than "
        f"{v['needed']}, intervals may hold the true figure less often than in 95 %."
    ),
    "permuted": lambda v: (
        f"PERMUTED: with labels exchanged between patients, test images are still ranked with AUC "
        f"{v['auc']:.3f} (lower bound {v['low']:.3f}), as by chance in one run of forty. The model "
        "recognizes test images or their patients: look for images of one patient, and for near "
        "duplicates, in training and test."
    ),
    "robustness": lambda v: (
        f"Robustness of {v['model']} (one view of each test image): AUC {v['first']['auc']:.3f}, "
        f"sensitivity {_figure(v['first']['sensitivity'], '.3f')}, specificity "
        f"{_figure(v['first']['specificity'], '.3f')}; worst under {v['worst']['degradation']}, "
        f"grade {v['worst']['grade']}: {v['worst']['auc']:.3f}, "
        f"{_figure(v['worst']['sensitivity'], '.3f')}, "
        f"{_figure(v['worst']['specificity'], '.3f')}."
    ),
    "subgroups": _subgroups,
    "subgroup-differences": _subgroup_differences,
    "small-subgroups": lambda v: (
        f"Small subgroups of {v['set'] or 'the test set'}, with fewer than {v['needed']} effective "
        f"{v['unit']} of a class: {_named_groups(v['groups'])}. They are not tested, and their "
        "intervals may hold the true figure less often than in 95 %."
    ),
    "shortcut": _shortcut,
    "unit": _unit,
    "typicality": _typicality,
    "synthetic": lambda _: "SYNTHETIC images: these figures say nothing of patients.",
}
