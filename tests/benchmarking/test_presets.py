import pytest

from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.benchmarking.presets import PRESETS, get_preset
from featx.classifiers.registry import get_classifier
from featx.errors import FeatxError, UsageError


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_names_what_the_benchmark_knows(preset):
    for backbone in preset.backbones:
        get_backbone(backbone)
    for classifier in preset.classifiers:
        get_classifier(classifier)


def test_varshni_is_six_networks_by_four_classifiers():
    arguments = get_preset("varshni").arguments()
    assert (len(arguments["backbones"]), len(arguments["classifiers"])) == (6, 4)
    assert arguments["rank_by"] == "auc"


def without(monkeypatch, missing):
    def find(backbone, *args, **kwargs):
        if backbone.name in missing:
            raise FeatxError(f"no weights of {backbone.name}")
        return find_weights(backbone, "random")

    monkeypatch.setattr("featx.backbones.weights.find_weights", find)


def test_accurate_goes_on_without_weights_that_are_not_to_be_had(monkeypatch, caplog):
    without(monkeypatch, {"mobilenetv2", "efficientnet_lite1"})
    arguments = get_preset("accurate").arguments()
    assert arguments["backbones"] == ["efficientnet_lite0+efficientnet_lite2"]
    assert [text.split(":")[0] for text in caplog.messages] == [
        "The preset accurate goes on without efficientnet_lite1",
        "The preset accurate goes on without mobilenetv2",
    ]


def test_without_any_weights_it_is_an_error(monkeypatch):
    without(monkeypatch, set(PRESETS["accurate"].backbones))
    with pytest.raises(FeatxError, match="no weights of mobilenetv2"):
        get_preset("accurate").arguments()


def test_an_unknown_preset_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'acurate'; did you mean 'accurate'\?.*fast"):
        get_preset("acurate")
