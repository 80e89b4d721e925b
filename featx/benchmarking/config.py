"""Settings of a benchmark, validated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from featx.audit.findings import LEAKS
from featx.backbones.brought import Backbone
from featx.backbones.registry import (
    canonical_name,
    check_backbones,
    check_precision,
    split_precision,
    with_precision,
)
from featx.backbones.tuned import TUNED, is_file_name
from featx.baselines.registry import get_baseline
from featx.classifiers.config import FitConfig
from featx.classifiers.registry import get_classifier
from featx.datasets.bands import one_column, parse_subgroups, written
from featx.datasets.rules import PATIENT, OpeningRules, read_pairs
from featx.errors import UsageError, check_names, find_name
from featx.features.columns import parse_covariates
from featx.features.config import ExtractionConfig

# Every row has its own.
_OF_ROWS = ("backbones", "classifier")

# Written in place of a root that is an absolute path.
_FOLDER = "(not recorded)"

# Names in files of early versions, and scikit-learn's beside the command line's.
_OTHER_NAMES = {"seed": "random_state", "normalisation": "normalization", "folds": "cv"}
_OTHER_NAMES |= {"external_classes": "external_labels"}


@dataclass(frozen=True)
class BenchmarkConfig:
    """Set what a benchmark compares, and how.

    `featx.benchmark` also takes each setting as a keyword argument; use a config to keep, change
    and repeat runs. ``run.json`` holds its `to_dict` as ``settings``, which
    ``featx benchmark --config FILE`` reads.

    Parameters
    ----------
    backbones : str or sequence of str, default=("efficientnet_lite0",)
        Frozen networks; ``"a+b"`` joins the features of two, ``"a@float16"`` sets a precision, and
        ``"tuned:a"`` is first fine-tuned on some of the training patients.
    classifiers : str or sequence of str, default=("svm", "logistic", "xgboost")
        Classifiers fitted on the features of each backbone.
    baselines : str or sequence of str, default=()
        CNNs trained end to end, such as ``"finetuned:efficientnet_lite0"``.
    extraction : ExtractionConfig
        Settings of the features; its `backbones` are not used.
    fit : FitConfig
        Settings of the fits; its `classifier` is not used.
    test_views : int or None, default=None
        Views per test image, whose scores are averaged; by default as many as in training.
    test_size : float, default=0.2
        Proportion of the patients of each class held out where images have no test split.
    tuning_size : float, default=0.7
        Proportion of the training images, by patient, that tunes a backbone ``"tuned:a"``; the
        classifiers of its rows are fitted to the others.
    patients, labels : str or None, default=None
        Rules by which patients and labels are read from paths, as in `ImageDataset.open`.
    columns, root, positive, uncertain, skip_problems, rename_labels
        Rules for tables and labels, as in `ImageDataset.open`.
    externals : sequence of str, default=()
        Names of the external validation sets that the run needs; their images are given to
        `featx.benchmark`.
    external_patients : mapping of str to str, default={}
        Rule for patients of external sets by name, where that of `patients` does not fit;
        ``"none"`` where patients are unknown. A table's own columns need none.
    external_labels : mapping of str to mapping of str to str, default={}
        New names of labels of external sets by name; ``""`` leaves the images of a label out.
    external_columns, external_root : mapping of str to mapping or path, default={}
        `columns` and `root` of external sets that are tables, by name.
    controls : bool, default=True
        Whether to add shortcut controls: random weights, images without their center and their
        outer border, permuted labels, histogram, metadata.
    repeats : int, default=1
        Cross-validations of each frozen row on different folds, for the spread of its AUC.
    learning_curve : bool, default=True
        Whether to refit the best frozen row on 10 to 100 % of the training patients.
    internal_shifts : bool, default=False
        Whether to apply the best frozen row's operating point, chosen on one half of the training
        images, to the other, between halves that differ in size, shape, compression or brightness.
    robustness : bool, default=False
        Whether to evaluate each frozen row on degraded test images, one view of each: ten
        degradations in five grades.
    leaks : {"error", "drop", "allow"}, default="error"
        Whether training images that leak test images are an error, left out, or kept with a note.
    findings : str or sequence of str, default=()
        Findings of a table with several per image, each of which becomes a benchmark of its own:
        images with the finding against images without it; ``"all"`` for all of them. The table
        then holds averages over findings, and its `findings` the table of each.
    adapt : bool, default=False
        Whether to add each frozen row adapted to the unlabeled test images and, for its figures
        on them, to each external set.
    fuse : bool, default=False
        Whether to add, for each classifier, the mean of the calibrated log-odds of its frozen rows
        (late fusion), whose networks must differ; with `adapt`, also that of the adapted ones.
    covariates : str or sequence of str, default=()
        Columns of the table of images, such as ``("age", "sex")``, that are joined with the
        features in rows of their own, beside the images alone and the columns alone.
        ``"site=category"`` and ``"age=number"`` say what a column of few whole numbers holds.
    unit : str or None, default=None
        ``"patient"``, or a column of the table of images such as ``"study"``: the images of each
        make one decision, in rows of their own.
    subgroups : str or sequence of str, default=()
        Columns of the table of images, such as ``("sex", "age:5,18,65")``, by which the figures of
        each model are divided; without cut points, numbers go into bands of ages, or of quartiles
        of training images (`featx.datasets.bands.Bands`).
    leave_group_out : str or None, default=None
        Column of the table of images, such as ``"site"`` or ``"age:5,18,65"``: for each of its
        groups, models are trained on the images of the others and tested on those of the group.
        The table then holds means over groups, and its `groups` the table of each.
    published : bool or None, default=None
        Whether to list published figures on Kermany et al. 2018; by default on that data set.
    rank_by : str or None, default=None
        Field of ``results.json`` by which rows are sorted, highest first.
    baseline_settings : mapping, default={}
        Settings of `featx.train` that differ from the recipe. They hold for tuned backbones, too,
        except for the size, which is in the backbone's name.

    Raises
    ------
    UsageError
        If a name is unknown, or a value is out of range.

    Examples
    --------
    >>> config = BenchmarkConfig(classifiers="svm", repeats=3)
    >>> config.with_settings(views=2).extraction.views
    2
    >>> BenchmarkConfig.from_dict(config.to_dict()) == config
    True
    """

    backbones: Sequence[str] = ("efficientnet_lite0",)
    classifiers: Sequence[str] = ("svm", "logistic", "xgboost")
    baselines: Sequence[str] = ()
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    test_views: int | None = None
    test_size: float = 0.2
    tuning_size: float = 0.7
    patients: str | None = None
    labels: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    root: str | None = None
    positive: str | None = None
    uncertain: str | None = None
    skip_problems: bool = False
    rename_labels: Mapping[str, str] = field(default_factory=dict)
    external_patients: Mapping[str, str] = field(default_factory=dict)
    external_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    external_columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    external_root: Mapping[str, str] = field(default_factory=dict)
    externals: Sequence[str] = ()
    controls: bool = True
    repeats: int = 1
    learning_curve: bool = True
    internal_shifts: bool = False
    robustness: bool = False
    leaks: str = "error"
    findings: Sequence[str] = ()
    adapt: bool = False
    fuse: bool = False
    covariates: Sequence[str] = ()
    unit: str | None = None
    subgroups: Sequence[str] = ()
    leave_group_out: str | None = None
    published: bool | None = None
    rank_by: str | None = None
    baseline_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        covariates = parse_covariates(self.covariates)
        training = dict(self.baseline_settings)
        training |= {n: tuple(value) for n, value in training.items() if isinstance(value, list)}
        rules = self.opening
        values = {
            "backbones": tuple(map(_canonical_backbones, _names(self.backbones))),
            "classifiers": tuple(get_classifier(name).name for name in _names(self.classifiers)),
            "baselines": tuple(get_baseline(name).name for name in _names(self.baselines)),
            "externals": _names(self.externals),
            "covariates": tuple("=".join(filter(None, c)) for c in covariates.items()),
            "subgroups": written(parse_subgroups(self.subgroups)),
            "leaks": find_name("way to treat leaks", self.leaks, LEAKS),
            "baseline_settings": training,
            "columns": rules.columns,
            "findings": rules.findings,
            "root": None if rules.root is None else str(rules.root),
            "rename_labels": rules.rename_labels,
            "external_root": {name: str(root) for name, root in self.external_root.items()},
        }
        for name, separator in (("external_labels", ":"), ("external_columns", "=")):
            given = getattr(self, name).items()
            values[name] = {n: read_pairs(pairs, separator) for n, pairs in given}
        if self.leave_group_out is not None:
            values["leave_group_out"] = one_column(self.leave_group_out)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_names()
        if self.leave_group_out is not None:
            self._check_group()
        if _FOLDER in (self.root, *self.external_root.values()):
            option = "--root" if self.root == _FOLDER else "--external-root"
            raise UsageError(f"a root was an absolute path, which is not recorded; give {option}")
        if self.repeats < 1:
            raise UsageError(f"repeats={self.repeats}: at least 1 is needed")
        if self.test_views is not None and self.test_views < 1:
            raise UsageError(f"test_views={self.test_views}: at least 1 is needed")
        if self.extraction.random_state != self.fit.random_state:
            raise UsageError("extraction and fit have different values of random_state")

    def _check_names(self) -> None:
        for backbone in self.row_backbones:
            if is_file_name(backbone):
                raise UsageError(
                    f"{backbone}: a benchmark tunes backbones itself, on its own training "
                    "patients; name the backbone, as in tuned:efficientnet_lite0"
                )
            check_precision(check_backbones(backbone) or "float32", self.extraction.engine)
            if TUNED in backbone and self.extraction.weights != "imagenet":
                raise UsageError(
                    f"{backbone}: tuning starts from ImageNet weights, not from "
                    f"{self.extraction.weights}; leave out the weights"
                )
        if self.fuse:
            self._check_fusion()
        if not self.baselines and not (self.backbones and self.classifiers):
            raise UsageError(
                "there is nothing to compare; name backbones and classifiers, or baselines"
            )

    def _check_fusion(self) -> None:
        networks = "+".join(self.row_backbones).split("+")
        if len(self.row_backbones) < 2 or len(set(networks)) < len(networks):
            raise UsageError(
                f"{', '.join(self.row_backbones)} cannot be fused: at least two backbones are "
                "needed, and no network in two of them; name others, or leave out fuse"
            )

    def _check_group(self) -> None:
        """Refuse settings that have no meaning where groups are left out."""
        (column,) = parse_subgroups(self.leave_group_out or "")
        if self.findings:
            raise UsageError(
                "leave_group_out and findings are each several benchmarks and cannot be combined; "
                "give positive=FINDING (--positive FINDING) for one finding"
            )
        if column in {**parse_covariates(self.covariates), **parse_subgroups(self.subgroups)}:
            raise UsageError(
                f"models are not trained on the group of {column!r} that they are tested on; "
                f"remove {column!r} from covariates and subgroups"
            )

    @property
    def names_with_rules(self) -> set[str]:
        """Names of the external sets that have rules of their own."""
        rules = ("external_patients", "external_labels", "external_columns", "external_root")
        return {name for rule in rules for name in getattr(self, rule)}

    @property
    def keep_columns(self) -> tuple[str, ...]:
        """Further columns of the images that the run needs."""
        names = {**parse_covariates(self.covariates), **parse_subgroups(self.subgroups)}
        names |= parse_subgroups(self.leave_group_out or "")
        unit = self.unit
        return tuple(names if unit in (None, PATIENT, *names) else (*names, str(unit)))

    @property
    def opening(self) -> OpeningRules:
        """Rules by which images are opened."""
        names = OpeningRules.__dataclass_fields__
        return OpeningRules.of(
            **{name: getattr(self, name) for name in names if hasattr(self, name)}
        )

    @property
    def row_backbones(self) -> tuple[str, ...]:
        """Backbones of the rows, with their precision unless it is float32."""
        return tuple(with_precision(name, self.extraction.precision) for name in self.backbones)

    @property
    def random_state(self) -> int:
        """Random seed of the split, the folds, the views and the classifiers."""
        return self.fit.random_state

    @property
    def fit_settings(self) -> dict[str, Any]:
        """Settings of fits that decide a row; they are part of its key in the result cache."""
        always = ("operating_point", "random_state", "cv", "calibration")
        default = FitConfig()
        others = [name for name in _settings_of(FitConfig) if name not in (*always, "n_jobs")]
        changed = [name for name in others if getattr(self.fit, name) != getattr(default, name)]
        return {name: getattr(self.fit, name) for name in (*always, *changed)}

    @property
    def training_settings(self) -> dict[str, Any]:
        """Settings of the training of baselines."""
        return {
            "weights_dir": self.extraction.weights_dir,
            "operating_point": self.fit.operating_point,
            "random_state": self.random_state,
            **self.baseline_settings,
        }

    def extraction_of(self, backbone: str, views: int, **changes: Any) -> ExtractionConfig:
        """Return the settings of the features of one row."""
        names, precision = split_precision(backbone)
        settings = {"backbones": names, "precision": precision or "float32", **changes}
        return replace(self.extraction, views=views, **settings)

    def with_settings(self, **settings: Any) -> BenchmarkConfig:
        """Return a config with some settings replaced, by their flat names.

        Parameters
        ----------
        **settings
            Fields of this class, of `ExtractionConfig` and of `FitConfig`; `random_state` is set
            in both.

        Raises
        ------
        UsageError
            If a name is unknown.
        """
        settings = {_OTHER_NAMES.get(name, name): value for name, value in settings.items()}
        kinds = (BenchmarkConfig, ExtractionConfig, FitConfig)
        known = {name for kind in kinds for name in _settings_of(kind)}
        check_names("setting of a benchmark", settings, sorted(known))
        own, extraction, fit = (
            {name: settings[name] for name in _settings_of(kind) if name in settings}
            for kind in kinds
        )
        for backbone in _names(own.get("backbones", self.backbones))[:1]:
            # Networks allow different settings; one to be tuned has no file yet.
            if TUNED not in (name := _canonical_backbones(backbone)):
                extraction["backbones"], _ = split_precision(name)
        return replace(
            self,
            extraction=ExtractionConfig.from_dict(
                {f.name: getattr(self.extraction, f.name) for f in fields(ExtractionConfig)},
                **extraction,
            ),
            fit=replace(self.fit, **fit),
            **own,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return flat plain values for JSON or YAML, without paths."""
        extraction = self.extraction.to_dict()
        values = {name: getattr(self, name) for name in _settings_of(BenchmarkConfig)}
        values |= {n: extraction[n] for n in _settings_of(ExtractionConfig) if n in extraction}
        values |= {name: getattr(self.fit, name) for name in _settings_of(FitConfig)}
        # As of weights, no folder of this machine is recorded.
        values["root"] = None if self.root is None else _recorded(self.root)
        values["external_root"] = {n: _recorded(root) for n, root in self.external_root.items()}
        return {
            n: list(value) if isinstance(value, tuple) else value for n, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BenchmarkConfig:
        """Read what `to_dict` returned, of any version.

        Raises
        ------
        UsageError
            If a setting is unknown, or a weights file is needed whose path was not recorded.
        """
        return cls().with_settings(**values)


def _recorded(root: str) -> str:
    return _FOLDER if Path(root).is_absolute() else root


def _settings_of(kind: type) -> list[str]:
    """List the flat settings of a config class."""
    others = ("extraction", "fit") if kind is BenchmarkConfig else _OF_ROWS
    return [each.name for each in fields(kind) if each.name not in others]


def _canonical_backbones(backbones: str | Backbone) -> str:
    if isinstance(backbones, Backbone):
        return canonical_name(backbones)
    names, precision = split_precision(backbones)
    return "+".join(f"{name}@{precision}" if precision else name for name in names)


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str | Backbone) else tuple(names)
