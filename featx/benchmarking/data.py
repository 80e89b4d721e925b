"""What a benchmark works on: images that were looked at, parted, and judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from featx.audit.leakage import (
    LEAKS,
    Audit,
    Inspection,
    audit_split,
    inspect_images,
    leaking,
)
from featx.benchmarking.externals import check_externals
from featx.benchmarking.protocol import Protocol, split_images
from featx.benchmarking.run_metadata import flow_of_images
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

__all__ = ["Material", "prepare"]


@dataclass(frozen=True, eq=False)
class Material:
    """Images and external sets, ready for training."""

    inspection: Inspection
    protocol: Protocol
    audit: Audit

    @property
    def externals(self) -> dict[str, ImageDataset]:
        """External sets, by name."""
        return self.inspection.externals

    def notes(self) -> list[str]:
        """Sentences for the foot of the table."""
        return [self.protocol.description, "Intervals are at 95 %.", *self.audit.notes()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``run.json``: the flow of images and the audit."""
        flow = flow_of_images(self.inspection, self.protocol)
        return {"flow": flow, "audit": self.audit.to_dict()}


def prepare(
    images: ImageDataset,
    externals: Mapping[str, ImageDataset],
    *,
    test_size: float,
    random_state: int,
    leaks: str,
) -> Material:
    """Look at all images, part them, and refuse what leaks."""
    if leaks not in LEAKS:
        raise UsageError(f"leaks={leaks!r}: choose of {', '.join(LEAKS)}")
    check_externals(images, externals)
    inspection = inspect_images(images, externals)
    protocol = split_images(inspection.images, test_size=test_size, random_state=random_state)
    dropped = leaking(inspection, protocol.in_test) if leaks == "drop" else None
    if dropped is not None and dropped.any():
        protocol = protocol.without(inspection.images, dropped)
    audit = audit_split(inspection, protocol.in_test, allow_leaks=leaks == "allow", dropped=dropped)
    audit.check()
    return Material(inspection, protocol, audit)
