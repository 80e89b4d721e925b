"""Networks in memory, shared by extractions, and what their callers keep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from featx.runtime.process_state import check_process

if TYPE_CHECKING:
    from featx.backbones.engines import Engine
    from featx.features.pipeline import Embedder

_Networks = dict[tuple[object, ...], "Engine"]


@dataclass(frozen=True)
class Kept:
    """What a caller keeps of an extraction: networks, and flags of decoded pixels by digest."""

    networks: _Networks
    pixels: dict[str, int] = field(default_factory=dict)


_kept: ContextVar[Kept | None] = ContextVar("kept", default=None)


def kept() -> Kept | None:
    """Return what the caller of this thread's extraction keeps."""
    return _kept.get()


@contextmanager
def keeping(kept: Kept) -> Iterator[None]:
    """Let extractions of this thread fill `kept` in the block."""
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)


class EnginePool:
    """Networks in memory, each once; beyond `size`, only those in use or kept by a caller."""

    def __init__(self, factory: Callable[[Embedder], Engine], size: int = 1) -> None:
        self.factory = factory
        self.size = size
        self._engines: _Networks = {}
        self._alive: WeakValueDictionary[tuple[object, ...], Engine] = WeakValueDictionary()
        self._loading = threading.Lock()

    def load(self, embedders: Iterable[Embedder]) -> list[Engine]:
        """Return the engine of each backbone, loading those that are not in memory."""
        # Before networks of a parent process are dropped, which would wait for their threads.
        check_process()
        keys = {embedder.network_key: embedder for embedder in embedders}
        with self._loading:
            idle = [key for key in self._engines if key not in keys]
            for key in idle[: max(0, len(idle) + len(keys) - self.size)]:
                del self._engines[key]
            for key, embedder in keys.items():
                engine = self._alive.get(key) or self.factory(embedder)
                self._engines[key] = self._alive[key] = engine
            found = {key: self._engines[key] for key in keys}
        keeper = kept()
        if keeper is not None:
            keeper.networks.update(found)
        return list(found.values())

    @contextmanager
    def using(self, factory: Callable[[Embedder], Engine]) -> Iterator[None]:
        """Load networks by another factory for a while, as tests and measurements do."""
        before = self.factory, self._engines, self._alive
        self.factory, self._engines, self._alive = factory, {}, WeakValueDictionary()
        try:
            yield
        finally:
            self.factory, self._engines, self._alive = before
