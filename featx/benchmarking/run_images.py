"""Images of a run: opened by its settings, and opened again to verify its record."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import RunData, check_external, split_and_audit
from featx.benchmarking.findings import check_findings, finding_facts, split_findings
from featx.benchmarking.groups import GroupData
from featx.benchmarking.runner import run_metadata
from featx.benchmarking.unit_rows import hash_units
from featx.classifiers.units import check_units
from featx.datasets.bands import divide
from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UsageError, check_names
from featx.features.columns import columns_recipe, parse_covariates
from featx.reporting.results_folder import damaged
from featx.runtime.serialization import plain_json

logger = logging.getLogger(__name__)

# Settings that decide which images a run has, and how they are split.
_OF_IMAGES: tuple[str, ...] = ("patients", "labels", "columns", "root", "positive", "uncertain")
_OF_IMAGES += ("skip_problems", "rename_labels", "externals", "external_patients")
_OF_IMAGES += ("external_labels", "external_columns", "external_root", "test_size", "random_state")
_OF_IMAGES += ("leaks", "findings", "leave_group_out", "covariates", "unit", "subgroups")

# What a run records of its images.
_RECORDED = ("class_names", "inputs", "inventory", "flow", "audit")


def open_sets(
    images: Any, externals: Mapping[str, Any], config: BenchmarkConfig, hash_patients: str | None
) -> tuple[ImageDataset, dict[str, ImageDataset]]:
    """Open the images and the external sets."""
    missing = [name for name in config.externals if name not in externals]
    if missing:
        raise UsageError(
            f"the settings name the external set {missing[0]!r}, whose path is not recorded; pass "
            f"--external {missing[0]}=FOLDER (externals={{{missing[0]!r}: ...}})"
        )
    check_names("external set", config.names_with_rules, externals)
    rules = replace(config.opening, hash_patients=hash_patients)
    dataset = as_images(images, rules=rules)
    if config.covariates:
        # Fail before images are read.
        columns_recipe(parse_covariates(config.covariates), dataset.columns)
    if config.unit is not None:
        dataset = hash_units(dataset, config.unit, hash_patients)
        check_units(dataset, config.unit)
    divide(config.subgroups, dataset)
    others: dict[str, ImageDataset] = {}
    problems: dict[str, UsageError] = {}
    for name, each in externals.items():
        own = rules.for_external(
            name,
            class_names=None if config.findings else dataset.class_names,
            patients=config.external_patients.get(name),
            rename_labels=config.external_labels.get(name),
            columns=config.external_columns.get(name),
            root=config.external_root.get(name),
        )
        try:
            found = as_images(each, rules=own)
            if config.findings:
                check_findings(dataset, name, found, config)
            else:
                check_external(dataset, name, found)
            others[name] = hash_units(found, config.unit, hash_patients)
        except UsageError as error:
            problems[name] = error
    if problems and not others:
        raise UsageError("\n".join(map(str, problems.values())))
    for name, problem in problems.items():
        logger.warning(f"The external set {name} cannot be used and is left out: {problem}")
    return dataset, others


def record_again(
    settings: Mapping[str, Any],
    images: Any,
    externals: Mapping[str, Any],
    hash_patients: str | None,
    root: str | None = None,
    external_root: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what a run with these settings, and these roots, records of its images.

    Raises
    ------
    UsageError
        If the images cannot be opened so.
    """
    try:
        with damaged("run.json"):
            known = {name: settings[name] for name in _OF_IMAGES if name in settings}
            # Absolute ones are not recorded.
            known |= {} if root is None else {"root": root}
            known |= {"external_root": external_root} if external_root else {}
            return _record(BenchmarkConfig.from_dict(known), images, externals, hash_patients)
    except FeatxError as error:
        raise UsageError(
            f"the images cannot be opened by the settings in run.json: {error}. Without images the "
            "rest is verified; settings may have been edited"
        ) from error


def _record(
    config: BenchmarkConfig, images: Any, externals: Mapping[str, Any], hash_patients: str | None
) -> dict[str, Any]:
    """Return what a run records of its images."""
    dataset, others = open_sets(images, externals, config, hash_patients)
    facts: dict[str, Any] = {}
    data: RunData
    if config.findings:
        data, names, _ = split_findings(dataset, others, config)
        facts = finding_facts(data, names)
    elif config.leave_group_out is not None:
        data = GroupData.of(dataset, others, config)
    else:
        data = split_and_audit(dataset, others, config)
    record = run_metadata(config, data, datetime.now(UTC), finished=True) | facts
    found: dict[str, Any] = json.loads(plain_json({name: record[name] for name in _RECORDED}))
    return found
