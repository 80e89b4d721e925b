"""Tuning of a backbone by the recipe `finetuned:NAME`, whose head is then dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featx.audit.membership import membership_record
from featx.backbones.registry import get_registered
from featx.backbones.tuned import TUNED, TunedFile, write_tuned
from featx.baselines.architectures import base_of
from featx.baselines.registry import FINETUNED
from featx.baselines.train import train
from featx.datasets.dataset import ImageDataset


def tune(
    images: ImageDataset, backbone: str, folder: Path, **settings: Any
) -> tuple[Path, dict[str, Any]]:
    """Fine-tune a backbone; return the file of its weights in the folder, and facts for readers.

    Some patients of the images validate, so that no classifier may be fitted to any of them. The
    name is as in ``"tuned:efficientnet_lite0@160"``; the other settings are those of `featx.train`.
    An interrupted training continues in a folder of the backbone's name.
    """
    name = backbone.removeprefix(TUNED)
    record = get_registered(name)
    settings |= {"size": record.size, "out": folder / name, "overwrite": True}
    trained = train(images, FINETUNED + record.name, **settings)
    patients = images.patients if images.patients_known else None
    facts = {
        "backbone": name,
        "images": len(images),
        "patients": None if patients is None else len({*patients.tolist()}),
        "best_epoch": trained.best_epoch,
        "validation_auc": trained.history["val_auc"][trained.best_epoch - 1],
    }
    digests = [images.digest(index) for index in range(len(images))]
    members = membership_record(digests, patients)
    tuned = TunedFile(record.name, record.size[0], members, facts)
    file = write_tuned(base_of(trained.network), folder, tuned)
    return file, facts | {"seconds": trained.seconds}
