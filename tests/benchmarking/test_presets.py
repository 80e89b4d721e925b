import pytest

from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.presets import PRESETS, get_preset
from featx.errors import UsageError


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_is_a_config(preset):
    config = BenchmarkConfig.from_dict(preset.changes)
    assert config.backbones == preset.changes["backbones"]


def test_varshni_is_six_networks_by_four_classifiers():
    settings = get_preset("varshni").settings()
    assert (len(settings["backbones"]), len(settings["classifiers"])) == (6, 4)
    assert settings["rank_by"] == "auc"


@pytest.mark.parametrize("name", ["fast", "accurate"])
def test_what_is_recommended_needs_no_downloaded_weights(name, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for backbone in get_preset(name).settings()["backbones"]:
        found = find_weights(get_backbone(backbone.removeprefix("tuned:")), allow_download=False)
        assert found.path.is_file()


def test_an_unknown_preset_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'acurate'; did you mean 'accurate'\?.*fast"):
        get_preset("acurate")
