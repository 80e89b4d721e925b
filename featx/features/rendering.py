"""Rendering: images read once, and their views made, ahead of the networks that want them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from featx.errors import FeatxError, UnreadableImageError
from featx.features.cache.file_hashes import Hashed
from featx.features.recipe import Recipe
from featx.features.wanted import WantedRows, unpack_digest
from featx.images.augmentation import make_view
from featx.images.normalization import normalize
from featx.runtime.parallel import jobs_at_a_time

__all__ = ["Pixels", "Rendered", "render"]

Pixels = npt.NDArray[np.float32]
Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Rendered:
    """One image as the networks want it."""

    digest: str
    place: int
    views: list[list[tuple[int, Pixels]]] | UnreadableImageError


def render(
    hashed: Hashed,
    wanted: WantedRows,
    recipes: list[Recipe],
    lacking: list[npt.NDArray[np.bool_]],
) -> Generator[Rendered, None, None]:
    """Decode every image that some recipe lacks, once, and make the views that each lacks.

    A few threads work ahead of the consumer; a view that two recipes want alike is made once.

    Parameters
    ----------
    lacking : list of ndarray of bool, shape (n_distinct, views)
        For each recipe, which views to make.
    """

    def render_image(number: int) -> Rendered:
        place = int(wanted.first[number])
        digest = unpack_digest(wanted.digests, number)
        try:
            image = hashed.images.read(place, recipes[0].color)
            if hashed.remembered[place]:
                _check_unchanged(hashed, place, digest)
        except UnreadableImageError as error:
            return Rendered(digest, place, error)
        image = normalize(image, recipes[0].normalization).astype(np.float32, copy=False)
        made: dict[tuple[object, ...], Pixels] = {}
        views: list[list[tuple[int, Pixels]]] = []
        for recipe, lacks in zip(recipes, lacking, strict=True):
            views.append([])
            for view in np.flatnonzero(lacks[number]).tolist():
                look = (view, recipe.size, recipe.augmentation, recipe.random_state)
                if look not in made:
                    made[look] = make_view(image, digest, *look)
                views[-1].append((view, made[look]))
        return Rendered(digest, place, views)

    numbers = np.flatnonzero(np.any([lacks.any(axis=1) for lacks in lacking], axis=0))
    return _ahead(render_image, numbers[np.argsort(wanted.first[numbers])].tolist())


def _check_unchanged(hashed: Hashed, place: int, digest: str) -> None:
    """Keep rows of other bytes from being stored under a remembered digest."""
    if hashed.images.digest(place) != digest:
        raise FeatxError(
            f"{hashed.images.names[place]} has other bytes than when it was last read, though "
            "neither its size nor its times have changed; run again with --rehash "
            "(rehash=True) to read every file anew"
        )


def _ahead(work: Callable[[Job], Result], jobs: Iterable[Job]) -> Generator[Result, None, None]:
    """Map in order with threads, a bounded number of jobs ahead of the consumer."""
    workers = jobs_at_a_time()
    with ThreadPoolExecutor(workers, thread_name_prefix="featx-reader") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
