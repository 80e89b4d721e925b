from __future__ import annotations

import threading
import time

import pytest

import featx
from featx.datasets.dataset import ImageDataset
from featx.features import embedding
from featx.features.overlapped import AT_A_TIME, Overlapped
from tests.features.worker import QuickEngine

PATIENCE = 60


def test_results_come_in_the_order_of_their_beginning():
    found, second = [], threading.Event()
    with Overlapped() as overlapped:
        overlapped.start(lambda: second.wait(PATIENCE) and "first", lambda *r: found.append(r))
        overlapped.start(lambda: second.set() or "second", lambda *r: found.append(r))
        overlapped.finish()
    assert [result for result, _ in found] == ["first", "second"]


def test_no_more_is_begun_than_can_wait():
    running, most, kept = [], [], []

    def work():
        running.append(1)
        most.append(len(running))
        time.sleep(0.002)
        running.pop()

    with Overlapped() as overlapped:
        for begun in range(20):
            assert begun - len(kept) <= AT_A_TIME
            overlapped.start(work, lambda *result: kept.append(result))
        overlapped.finish()
    assert len(kept) == 20
    assert max(most) <= AT_A_TIME


def test_costs_add_up_to_the_time_gone_by():
    costs = []
    since = time.perf_counter()
    with Overlapped() as overlapped:
        for seconds in (0.03, 0.01, 0.02, 0.03):
            overlapped.start(
                lambda seconds=seconds: time.sleep(seconds), lambda _, cost: costs.append(cost)
            )
        overlapped.finish()
    gone_by = time.perf_counter() - since
    assert min(costs) > 0
    # Work that overlaps is not charged twice; the end is what it takes to leave.
    assert 0.045 < sum(costs) <= gone_by


def test_an_error_comes_where_its_result_would_and_drops_what_has_not_begun():
    found = []
    with pytest.raises(ValueError, match="broken"), Overlapped() as overlapped:
        overlapped.start(lambda: "whole", lambda result, _: found.append(result))
        overlapped.start(lambda: int("broken"), lambda result, _: found.append(result))
        overlapped.start(lambda: "later", lambda result, _: found.append(result))
        overlapped.start(lambda: "later", lambda result, _: found.append(result))
    assert found == ["whole"]


def test_images_are_read_and_parts_written_while_the_network_runs(images, monkeypatch):
    read_ahead, third_begun = threading.Event(), threading.Event()
    read, add = ImageDataset.read, embedding.FeatureStore.add

    def reading(self, index, *rest):
        if index == 14:
            read_ahead.set()
        return read(self, index, *rest)

    def adding(self, *arguments):
        assert third_begun.wait(PATIENCE)
        return add(self, *arguments)

    class Patient(QuickEngine):
        batches = 0

        def embed(self, pixels):
            self.batches += 1
            # The probe is the first.
            if self.batches == 2:
                assert read_ahead.wait(PATIENCE)
            if self.batches == 4:
                third_begun.set()
            return super().embed(pixels)

    # One reader is at most five images ahead of who asks.
    monkeypatch.setattr("featx.runtime.parallel._jobs", 1)
    monkeypatch.setattr(ImageDataset, "read", reading)
    monkeypatch.setattr(embedding.FeatureStore, "add", adding)
    monkeypatch.setattr(embedding, "ROWS_A_BATCH", 4)
    monkeypatch.setattr(embedding, "ROWS_A_PART", 4)
    monkeypatch.setattr(
        embedding.Embedding, "_make_engine", lambda self: Patient(self.backbone.features)
    )
    assert featx.extract(images, views=1).n_images == 24
