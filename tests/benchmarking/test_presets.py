import pytest

from featx.backbones.weights import find_weights
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.presets import PRESETS, get_preset
from featx.errors import FeatxError, UsageError


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_is_a_config(preset):
    config = BenchmarkConfig.from_dict(preset.changes)
    assert config.backbones == preset.changes["backbones"]


def test_varshni_is_six_networks_by_four_classifiers():
    settings = get_preset("varshni").settings()
    assert (len(settings["backbones"]), len(settings["classifiers"])) == (6, 4)
    assert settings["rank_by"] == "auc"


def without(monkeypatch, missing):
    def find(backbone, *args, **kwargs):
        if backbone.name in missing:
            raise FeatxError(f"no weights of {backbone.name}")
        return find_weights(backbone, "random")

    monkeypatch.setattr("featx.backbones.weights.find_weights", find)


def test_accurate_continues_without_missing_weights(monkeypatch, caplog):
    without(monkeypatch, {"mobilenetv2", "efficientnet_lite1"})
    settings = get_preset("accurate").settings()
    assert settings["backbones"] == ("efficientnet_lite0+efficientnet_lite2",)
    assert [text.split(":")[0] for text in caplog.messages] == [
        "Preset accurate continues without efficientnet_lite1",
        "Preset accurate continues without mobilenetv2",
    ]


def test_without_any_weights_it_is_an_error(monkeypatch):
    without(monkeypatch, set(PRESETS["accurate"].changes["backbones"]))
    with pytest.raises(FeatxError, match="no weights of mobilenetv2"):
        get_preset("accurate").settings()


def test_an_unknown_preset_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'acurate'; did you mean 'accurate'\?.*fast"):
        get_preset("acurate")
