import numpy as np
import pytest

from featx.errors import FeatxError
from featx.features.cache.drift import TOLERANCE, check_drift
from featx.features.cache.store import FeatureStore
from tests.features.test_recipe import RECIPE
from tests.features.worker import QuickEngine


class Drifting(QuickEngine):
    """An engine of another version whose features are off by a factor."""

    def __init__(self, version, factor):
        super().__init__(8)
        self.version, self.factor, self.calls = version, factor, 0

    def versions(self):
        return {"quick": self.version}

    def embed(self, pixels):
        self.calls += 1
        return super().embed(pixels) * np.float32(self.factor)


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    store.describe()
    check_drift(store, Drifting("1", 1.0))
    return store


def test_the_same_versions_are_trusted_and_others_may_differ_by_rounding(store):
    for version, factor, calls in (("1", 2.0, 0), ("2", 1 + TOLERANCE / 2, 1)):
        engine = Drifting(version, factor)
        check_drift(store, engine)
        assert engine.calls == calls


@pytest.mark.parametrize("name", ["TF_ENABLE_ONEDNN_OPTS", "OPENCV_CPU_DISABLE"])
def test_a_variable_that_changes_rounding_is_another_version(store, monkeypatch, name):
    for value, calls in (("0", 1), ("", 0)):
        monkeypatch.setenv(name, value)
        engine = Drifting("1", 1.0)
        check_drift(store, engine)
        assert engine.calls == calls


@pytest.mark.parametrize("factor", [1 + 2 * TOLERANCE, 0.0, np.nan])
def test_other_versions_with_other_features_are_not_mixed_in(store, factor):
    with pytest.raises(FeatxError, match=r"with quick 1; this is quick 2, .*other features.*prune"):
        check_drift(store, Drifting("2", factor))


def test_a_damaged_probe_is_begun_anew(store):
    (store.folder / "probe.h5").write_bytes(b"rot")
    check_drift(store, Drifting("2", 5.0))
    with pytest.raises(FeatxError, match="quick 2; this is quick 1"):
        check_drift(store, Drifting("1", 1.0))
