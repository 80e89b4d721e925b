"""Extraction: images to rows of features, through the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from featx.backbones.pooling import check_pooling
from featx.backbones.registry import check_precision, get_backbone
from featx.backbones.weights import find_weights
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UsageError, unknown_name
from featx.features.cache.file_hashes import Hashed, hash_images, read_digests
from featx.features.cache.store import RowTarget
from featx.features.cluster import Cluster
from featx.features.config import default_cache
from featx.features.embedding import Embedding, complete
from featx.features.matrix import FeatureMatrix
from featx.features.matrix_file import map_features
from featx.features.quantized import calibrate
from featx.features.recipe import Recipe
from featx.features.wanted import WantedRows
from featx.images.augmentation import POLICIES, Augmentation
from featx.images.normalization import check_normalization
from featx.images.reading import Color

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["check_settings", "extract"]


def extract(
    images: ImageDataset,
    backbone: str | Sequence[str] = "efficientnet_lite0",
    augmentation: str | Augmentation = "radiograph",
    views: int = 4,
    *,
    weights: str | Path = "imagenet",
    weights_dir: str | Path | None = None,
    cache: str | Path | None = None,
    engine: str = "auto",
    random_state: int = 0,
    color: Color = "gray",
    pooling: str = "average",
    normalization: str = "none",
    precision: str = "float32",
    calibration: ImageDataset | Sequence[str] | None = None,
    strict: bool = False,
    rehash: bool = False,
    out: str | Path | None = None,
    client: Client | None = None,
    resources: Mapping[str, float] | None = None,
) -> FeatureMatrix:
    """Embed the views of images with a frozen backbone.

    Rows that the cache holds are taken from it; the others are computed and written to it part by
    part, so that a run that was stopped goes on where it was.

    Parameters
    ----------
    images : ImageDataset
        What to embed.
    backbone : str or sequence of str, default="efficientnet_lite0"
        Names from `list_backbones`, each with ``@SIZE`` for another input size in pixels; the
        features of several are set side by side, and each image is read once for all of them.
    augmentation : str or Augmentation, default="radiograph"
        How views 1, 2, ... are drawn.
    views : int, default=4
        Views of each image: the image itself and ``views - 1`` augmented ones.
    weights : {"imagenet", "random"} or path, default="imagenet"
        Which weights; a file only where there is one backbone.
    weights_dir : path-like, optional
        Where to look for weights files; by default ``$FEATX_WEIGHTS_DIR``.
    cache : path-like, optional
        Folder of the cache; see `default_cache`.
    engine : {"auto", "keras", "openvino"}, default="auto"
        What runs the network.
    random_state : int, default=0
        Decides the augmented views, and the weights where they are random.
    color : {"gray", "rgb"}, default="gray"
        How images are read; gray is right for radiographs.
    pooling : {"average", "max", "gem", "quadrants"}, default="average"
        How feature maps become one vector; see `featx.backbones.pooling`.
    normalization : {"none", "percentile", "equalize", "clahe"}, default="none"
        What is done to each image's intensities; see `featx.images.normalization`.
    precision : {"float32", "float16", "bfloat16", "int8"}, default="float32"
        What the network computes with; features of different precisions are never mixed. int8 is
        for CPUs, quantized on images, with OpenVINO (``featx[int8]``); the short floats are for
        GPUs, with Keras.
    calibration : ImageDataset or sequence of str, optional
        What int8 is calibrated on, by default the images at hand that are of no test split. Give
        new images the training images, or, of a matrix of them, each recipe's ``"network"``:
        features are comparable only from one and the same network.
    strict : bool, default=False
        Whether an unreadable image is an error; otherwise it is named in the result, left out.
    rehash : bool, default=False
        Whether to read every file to know it. Otherwise a file whose path, size and times are
        those of an earlier run is taken for the same one; for file systems that lose changes.
    out : path-like, optional
        Matrix file to write. The rows go straight to it, so that memory stays flat however many
        there are, and the matrix returned reads them from there when they are needed.
    client : distributed.Client, optional
        Of a Dask cluster whose workers do the work; they must see images and cache under the same
        paths or URLs, and have the same weights.
    resources : mapping of str to float, optional
        What each batch takes of its worker, such as ``{"GPU": 1}``; see Dask's worker resources.

    Returns
    -------
    FeatureMatrix
        The same whatever the order, the number of runs or what was cached.

    Raises
    ------
    UsageError
        If a name is not known, or there is nothing to extract.
    FeatxError
        If weights are not to be had, the cache cannot be written to, or no image can be read.

    Examples
    --------
    >>> import featx, tempfile
    >>> images = featx.ImageDataset.from_arrays(np.zeros((2, 32, 32), np.uint8), ["a", "b"],
    ...                                         patients=["p", "q"])
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     featx.extract(images, views=2, cache=cache)
    FeatureMatrix(efficientnet_lite0: 2 images, 4 rows, 1,280 features)
    """
    names, policy = check_settings(
        backbone,
        augmentation,
        views,
        weights=weights,
        color=color,
        pooling=pooling,
        normalization=normalization,
        precision=precision,
        engine=engine,
    )
    if len(images) == 0:
        raise UsageError("there is no image to extract features of")
    if calibration is not None and precision != "int8":
        raise UsageError(f"only int8 is calibrated, not {precision}; leave calibration out")
    folder = Path(cache) if cache is not None else default_cache()
    records = [get_backbone(name) for name in names]
    # All are found before the first runs: hours later is a bad time to hear of a missing file.
    found = [
        find_weights(record, weights, _path(weights_dir), random_state=random_state)
        for record in records
    ]
    recipes = [
        Recipe(
            backbone=record.name,
            weights=record_weights.digest,
            size=record.size,
            augmentation=policy,
            random_state=random_state,
            color=color,
            pooling=pooling,
            normalization=normalization,
            precision=precision,
        )
        for record, record_weights in zip(records, found, strict=True)
    ]
    if precision == "int8":
        on = images if calibration is None else calibration
        recipes = calibrate(recipes, records, found, on, folder, rehash=rehash)
    embeddings = [
        Embedding(recipe, record, record_weights, folder, engine, _path(weights_dir))
        for recipe, record, record_weights in zip(recipes, records, found, strict=True)
    ]
    cluster = None if client is None else Cluster(client, resources)
    reader = read_digests if cluster is None else cluster.read_digests
    hashed = hash_images(images, folder, strict=strict, rehash=rehash, reader=reader)
    wanted = WantedRows(hashed.digests, views)
    do = complete if cluster is None else cluster.complete
    undecodable = do(embeddings, hashed, wanted, strict=strict)
    if undecodable:
        hashed = hashed.without(undecodable)
        wanted = WantedRows(hashed.digests, views)
    return _gather(images, hashed, _Rows(embeddings, hashed, wanted), out)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def check_settings(
    backbone: str | Sequence[str],
    augmentation: str | Augmentation,
    views: int,
    *,
    weights: str | Path,
    color: str,
    pooling: str,
    normalization: str,
    precision: str,
    engine: str,
) -> tuple[list[str], Augmentation]:
    """Refuse settings of `extract` that name nothing or do not go together."""
    names = [backbone] if isinstance(backbone, str) else list(backbone)
    policy = Augmentation.named(augmentation) if isinstance(augmentation, str) else augmentation
    if not names:
        raise UsageError("there is no backbone to extract features with; name at least one")
    if len(set(names)) < len(names):
        raise UsageError(f"the backbones repeat: {', '.join(names)}")
    for name in names:
        get_backbone(name)
    if views < 1:
        raise UsageError(f"views={views}: at least 1, the image itself, is needed")
    if views > 1 and policy == POLICIES["none"]:
        raise UsageError(
            f"the policy 'none' draws no augmented views, so views={views} would repeat the same "
            "one; ask for views=1, or for another policy"
        )
    if len(names) > 1 and str(weights) not in ("imagenet", "random"):
        raise UsageError(f"the weights file {weights} cannot be that of {len(names)} backbones")
    if color not in get_args(Color):
        raise unknown_name("way to read colors", color, get_args(Color))
    check_pooling(pooling)
    check_normalization(normalization)
    check_precision(precision, engine)
    return names, policy


def _gather(
    images: ImageDataset, hashed: Hashed, rows: _Rows, out: str | Path | None
) -> FeatureMatrix:
    """Put the rows of all readable images into one matrix."""
    unreadable = tuple(
        (images.names[index], str(hashed.unreadable[index])) for index in sorted(hashed.unreadable)
    )
    if not hashed.digests:
        name, reason = unreadable[0]
        raise FeatxError(
            f"none of the {len(images):,} images can be read; {name} for one: {reason}"
        )
    readable, views = hashed.images, rows.wanted.views
    matrix = FeatureMatrix(
        X=np.empty((0, rows.shape[1]), dtype=np.float32),
        image=np.repeat(np.arange(len(readable)), views),
        view=np.tile(np.arange(views), len(readable)),
        names=readable.names,
        digests=hashed.digests,
        labels=readable.labels,
        patients=readable.patients,
        splits=readable.splits,
        class_names=readable.class_names,
        recipes=tuple(embedding.recipe.to_dict() for embedding in rows.embeddings),
        unreadable=unreadable,
    )
    if out is not None:
        matrix.save_rows(out, rows.shape, rows.fill)
        return replace(matrix, X=map_features(Path(out)), seconds=rows.seconds)
    features = np.empty(rows.shape, dtype=np.float32)
    rows.fill(features)
    return replace(matrix, X=features, seconds=rows.seconds)


class _Rows:
    """The rows of a matrix to be: which there are, and how to fill them in from the cache."""

    def __init__(self, embeddings: list[Embedding], hashed: Hashed, wanted: WantedRows) -> None:
        self.embeddings = embeddings
        self.hashed = hashed
        self.wanted = wanted
        self.seconds = 0.0
        widths = [embedding.width for embedding in embeddings]
        self.shape = (wanted.n_rows, sum(widths))
        self.starts = [sum(widths[:number]) for number in range(len(widths))]

    def fill(self, into: RowTarget) -> None:
        """Copy every row from the cache."""
        for embedding, start in zip(self.embeddings, self.starts, strict=True):
            found, seconds = embedding.store.collect(self.wanted, into, start)
            if not found.all():
                # A part turned out to be damaged: its rows are computed again.
                complete([embedding], self.hashed, self.wanted, strict=False)
                found, more = embedding.store.collect(self.wanted, into, start, found)
                seconds += more
            self.seconds += seconds
            if not found.all():
                raise FeatxError(
                    f"{np.count_nonzero(~found):,} rows of {embedding.backbone.name} have gone "
                    f"from the cache {embedding.cache} while they were in use (was it pruned?); "
                    "run again"
                )
