"""Benchmark of frozen features x classifiers with fine-tuned CNNs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import split_and_audit
from featx.benchmarking.evaluation import ModelEvaluator
from featx.benchmarking.findings import FindingsBenchmark
from featx.benchmarking.groups import GroupsBenchmark
from featx.benchmarking.published import is_kermany, published_figures
from featx.benchmarking.run_folder import prepare_folder
from featx.benchmarking.run_images import open_sets
from featx.benchmarking.runner import BenchmarkRunner
from featx.benchmarking.table import BenchmarkTable
from featx.runtime.files import check_output

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)


def benchmark(
    images: Any,
    backbones: str | Sequence[str] | None = None,
    classifiers: str | Sequence[str] | None = None,
    baselines: str | Sequence[str] | None = None,
    *,
    config: BenchmarkConfig | Mapping[str, Any] | None = None,
    externals: Mapping[str, Any] | None = None,
    hash_patients: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    client: Client | None = None,
    **settings: Any,
) -> BenchmarkTable:
    """Compare frozen features x classifiers with fine-tuned CNNs.

    All models are trained on the same images and scored on the same test images. Hyper-parameters,
    calibration and threshold are chosen on training images only, by cross-validation grouped by
    patient; the test set is evaluated once. Before training, the images are audited for
    duplicates and patients in both training and test. Use `featx.fit` and `featx.evaluate` for a
    single model.

    Parameters
    ----------
    images : ImageDataset, path-like, data frame or sequence
        Labeled images, as `featx.datasets.conversion.as_images` takes them. A split ``"test"`` is
        the test set; without one, a proportion of the patients of each class is held out.
    backbones, classifiers, baselines : str or sequence of str, optional
        Names; see `BenchmarkConfig`.
    config : BenchmarkConfig or mapping, optional
        Settings; a mapping holds them by name, like ``run.json`` under ``settings``.
    externals : mapping of str to images, optional
        External validation sets of the same classes, by name; all models are scored on them
        unchanged. Sets that cannot be used are left out with a warning, unless all are.
    hash_patients : str, optional
        Secret with which patients are hashed, where `images` is a path.
    out : path-like, optional
        Results folder: tables, page, models, and predictions of every test image. A run with the
        same images and settings continues there, also with more models: finished rows are not
        computed again.
    overwrite : bool, default=False
        Whether to remove the files of another run in `out`, which is an error otherwise.
    client : distributed.Client, optional
        Client of a Dask cluster that extracts the features; results are identical.
    **settings
        Single settings by name, such as ``views=2`` or ``random_state=1``: those of
        `BenchmarkConfig`, `ExtractionConfig` and `FitConfig`. They replace those of `config`.

    Returns
    -------
    BenchmarkTable
        One `BenchmarkRow` per model; with `findings` or `leave_group_out`, its figures are
        averages, and the table's `findings` or `groups` the tables of each.

    Raises
    ------
    UsageError
        If a name is unknown, the images cannot be split, an external set has other classes, test
        images leak into training, or `out` holds another run.

    Examples
    --------
    >>> import featx
    >>> table = featx.benchmark("chest_xray", classifiers="svm", views=2)  # doctest: +SKIP
    >>> table[0].estimates["auc"].value  # doctest: +SKIP
    0.98
    """
    named = {"backbones": backbones, "classifiers": classifiers, "baselines": baselines}
    settings |= {name: value for name, value in named.items() if value is not None}
    if not isinstance(config, BenchmarkConfig):
        config = BenchmarkConfig.from_dict(config or {})
    config = config.with_settings(**settings)
    if out is not None:
        check_output(out, "folder")
    dataset, others = open_sets(images, externals or {}, config, hash_patients)
    config = config.with_settings(externals=tuple(externals or ()))
    with (
        tempfile.TemporaryDirectory(prefix="featx-") if out is None else nullcontext(out)
    ) as folder:
        if config.findings or config.leave_group_out is not None:
            kind = FindingsBenchmark if config.findings else GroupsBenchmark
            return kind(config, Path(folder), client).run(dataset, others, overwrite=overwrite)
        data = split_and_audit(dataset, others, config)
        logger.info(data.split_note.text)
        if out is not None:
            prepare_folder(Path(out), config, data, overwrite=overwrite)
        shown = is_kermany(dataset) if config.published is None else config.published
        published = published_figures() if shown else []
        evaluator = ModelEvaluator(config, dataset.class_names, Path(folder))
        return BenchmarkRunner(config, data, evaluator, published, client).run()
