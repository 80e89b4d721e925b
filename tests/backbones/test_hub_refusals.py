"""Networks of timm, transformers and TorchXRayVision that featx refuses, or finds nowhere."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.cli import main
from featx.errors import FeatxError, UsageError
from tests.backbones.hub_networks import (
    check_equal,
    embed,
    hf_folder,
    put_weights,
    timm_folder,
    torchxrayvision,
    transformers,
)


def test_weights_that_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ran = tmp_path / "ran"

    class Harm:
        def __reduce__(self) -> tuple:
            return Path.touch, (ran,)

    put_weights(tmp_path, "densenet121-res224-pc", {"classifier.bias": Harm()})
    record = get_backbone("torchxrayvision:densenet121-res224-pc")
    with pytest.raises(UsageError, match=r"without running its code .* \.safetensors"):
        make_engine(record, find_weights(record), "torch").embed(np.zeros((1, *record.size)))
    assert not ran.exists()


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_mode": "border"}, "crop_mode 'border'"),
        ({"crop_mode": "squash"}, "crop_mode 'squash' .*crop_pct 0.875"),
        ({"interpolation": "nearest"}, "interpolation 'nearest'"),
        ({"input_size": [3, 32, 48]}, r"input_size .3, 32, 48"),
    ],
)
def test_other_preprocessing_of_timm_is_refused(
    tmp_path: Path, changes: dict, message: str
) -> None:
    folder = timm_folder(tmp_path / "net", "convnext_atto")
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=rf"{message}.*onnx:FILE\.onnx"):
        get_backbone(f"timm:{folder}")


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("preprocessor_config.json", {"do_pad": True}, "has do_pad"),
        ("preprocessor_config.json", {"do_resize": False}, "has do_resize"),
        ("preprocessor_config.json", {"size": {"shortest_edge": 32}}, "has size"),
        (
            "preprocessor_config.json",
            {"auto_map": {"AutoImageProcessor": "a.B"}},
            "needs Python code",
        ),
        ("config.json", {"auto_map": {"AutoModel": "a.B"}}, "needs Python code"),
        # Its makers change levels of gray in a way that no setting names.
        (
            "preprocessor_config.json",
            {"image_processor_type": "ImageGPTImageProcessor"},
            "differs|reproduced",
        ),
    ],
)
def test_other_preprocessing_of_transformers_is_refused(
    tmp_path: Path, file: str, changes: dict, message: str
) -> None:
    folder = hf_folder(tmp_path / "net")
    change_json(folder / file, **changes)
    with pytest.raises(UsageError, match=message):
        get_backbone(f"hf:{folder}")


OWN_CODE = """
import pathlib
import transformers
pathlib.Path(r"{ran}").touch()
class OwnModel(transformers.ViTModel):
    def forward(self, *args, **settings):
        found = super().forward(*args, **settings)
        found["pooler_output"] = found["pooler_output"] {change}
        return found
"""


def test_code_of_a_repository_runs_only_where_it_is_trusted(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    folder, ran = hf_folder(tmp_path / "net"), tmp_path / "ran"
    plain = embed(f"hf:{folder}", files, tmp_path)
    safetensors = pytest.importorskip("safetensors.torch")
    # As its class names them; transformers writes other names for its own.
    state = transformers.ViTModel.from_pretrained(folder).state_dict()
    safetensors.save_file(state, folder / "model.safetensors", {"format": "pt"})
    change_json(folder / "config.json", auto_map={"AutoModel": "own.OwnModel"})
    (folder / "own.py").write_text(OWN_CODE.format(ran=ran, change="* 2"))
    with pytest.raises(UsageError, match="read it, then give --trust-remote-code"):
        get_backbone(f"hf:{folder}")
    assert not ran.exists()
    try:
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["backbones", f"hf:{folder}", "--trust-remote-code"])
        name = get_backbone(f"hf:{folder}").name
        check_equal(embed(f"hf:{folder}", files, tmp_path), 2 * plain)
        (folder / "own.py").write_text(OWN_CODE.format(ran=ran, change="* 3"))
        assert get_backbone(f"hf:{folder}").name != name
    finally:
        featx.trust_remote_code(False)


def test_damaged_configs_are_named(tmp_path: Path) -> None:
    for name, folder in (("hf", hf_folder(tmp_path / "h")), ("timm", timm_folder(tmp_path / "t"))):
        for text in ("{", '{"model_type": "none", "architecture": "none"}'):
            (folder / "config.json").write_text(text)
            with pytest.raises(UsageError, match="cannot be opened by"):
                get_backbone(f"{name}:{folder}")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    folder = timm_folder(tmp_path / "net")
    shutil.copy(hf_folder(tmp_path / "other") / "model.safetensors", folder)
    record = get_backbone(f"timm:{folder}")
    with pytest.raises(
        FeatxError, match="of vit_tiny_patch16_224 of timm cannot be opened by timm"
    ):
        make_engine(record, find_weights(record), "torch").embed(np.zeros((1, *record.size)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "timm:vit_tiny_patch16_224.augreg_in21k",
            "timm/vit_tiny_patch16_224.augreg_in21k is neither",
        ),
        ("timm:vit_tiny_patch16_224.augreg", "did you mean 'vit_tiny_patch16_224"),
        ("hf:nobody/nothing", r"hf download nobody/nothing --local-dir"),
        ("torchxrayvision:densenet121-res224-chex", "Missing file: .*chex-densenet121"),
        ("torchxrayvision:vgg", "there is no classifier of TorchXRayVision 'vgg'"),
    ],
)
def test_networks_that_are_not_here(
    tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    def no_route(*_args: object, **_settings: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(torchxrayvision.utils, "download", no_route)
    with pytest.raises(FeatxError, match=message):
        get_backbone(name)
