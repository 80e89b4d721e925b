"""Chest X-rays to frozen-CNN features, classical classifiers and an honest benchmark.

Public names are loaded at first use, so that ``import featx`` is fast and TensorFlow is imported
only when a network runs. Messages go to the logger ``featx``.

Examples
--------
>>> import featx
>>> [backbone.name for backbone in featx.list_backbones()][:2]
['inceptionv3', 'resnet50']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Augmentation": "featx.images.augmentation",
    "Backbone": "featx.backbones.brought",
    "BenchmarkConfig": "featx.benchmarking.config",
    "BenchmarkTable": "featx.benchmarking.table",
    "ExtractionConfig": "featx.features.config",
    "FeatureClassifier": "featx.classifiers.classifier",
    "FeatureExtractor": "featx.features.transformer",
    "FeatureMatrix": "featx.features.matrix",
    "FitConfig": "featx.classifiers.config",
    "ImageDataset": "featx.datasets.dataset",
    "ViewAveraging": "featx.classifiers.view_averaging",
    "accept": "featx.classifiers.acceptance",
    "adapt": "featx.classifiers.adaptation",
    "benchmark": "featx.benchmarking.benchmark",
    "compare": "featx.reporting.compare",
    "evaluate": "featx.classifiers.inference",
    "explain": "featx.explanation.export",
    "explore": "featx.exploration.analysis",
    "export": "featx.exploration.export",
    "extract": "featx.features.extraction",
    "figures": "featx.reporting.paper_figures",
    "fit": "featx.classifiers.fitting",
    "get_preset": "featx.benchmarking.presets",
    "list_backbones": "featx.backbones.registry",
    "list_baselines": "featx.baselines.registry",
    "list_classifiers": "featx.classifiers.registry",
    "load_model": "featx.classifiers.model_file",
    "predict": "featx.classifiers.inference",
    "quantize": "featx.features.quantized",
    "report": "featx.reporting.page",
    "train": "featx.baselines.train",
    "trust_remote_code": "featx.backbones.opening",
    "verify": "featx.benchmarking.verification",
}

__all__ = [*_HOMES, "metrics"]

if TYPE_CHECKING:
    from featx import metrics as metrics
    from featx.backbones.brought import Backbone as Backbone
    from featx.backbones.opening import trust_remote_code as trust_remote_code
    from featx.backbones.registry import list_backbones as list_backbones
    from featx.baselines.registry import list_baselines as list_baselines
    from featx.baselines.train import train as train
    from featx.benchmarking.benchmark import benchmark as benchmark
    from featx.benchmarking.config import BenchmarkConfig as BenchmarkConfig
    from featx.benchmarking.presets import get_preset as get_preset
    from featx.benchmarking.table import BenchmarkTable as BenchmarkTable
    from featx.benchmarking.verification import verify as verify
    from featx.classifiers.acceptance import accept as accept
    from featx.classifiers.adaptation import adapt as adapt
    from featx.classifiers.classifier import FeatureClassifier as FeatureClassifier
    from featx.classifiers.config import FitConfig as FitConfig
    from featx.classifiers.fitting import fit as fit
    from featx.classifiers.inference import evaluate as evaluate
    from featx.classifiers.inference import predict as predict
    from featx.classifiers.model_file import load_model as load_model
    from featx.classifiers.registry import list_classifiers as list_classifiers
    from featx.classifiers.view_averaging import ViewAveraging as ViewAveraging
    from featx.datasets.dataset import ImageDataset as ImageDataset
    from featx.explanation.export import explain as explain
    from featx.exploration.analysis import explore as explore
    from featx.exploration.export import export as export
    from featx.features.config import ExtractionConfig as ExtractionConfig
    from featx.features.extraction import extract as extract
    from featx.features.matrix import FeatureMatrix as FeatureMatrix
    from featx.features.quantized import quantize as quantize
    from featx.features.transformer import FeatureExtractor as FeatureExtractor
    from featx.images.augmentation import Augmentation as Augmentation
    from featx.reporting.compare import compare as compare
    from featx.reporting.page import report as report
    from featx.reporting.paper_figures import figures as figures


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return importlib.import_module("featx.metrics")
    if name not in _HOMES:
        raise AttributeError(f"module 'featx' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
