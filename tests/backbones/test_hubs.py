"""Networks of timm, transformers and TorchXRayVision give the features of their makers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.cli import main
from featx.errors import FeatxError, UsageError

REASON = "needs the extras timm, hf and torchxrayvision"
for name in ("torch", "timm", "transformers", "torchxrayvision"):
    pytest.importorskip(name, reason=REASON, exc_type=ImportError)

import timm  # noqa: E402
import torch  # noqa: E402
import torchxrayvision  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

TINY_VIT = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
# Portrait, landscape, small; gray and colored.
SHAPES = (
    ("gray.png", (97, 151), "L"),
    ("wide.jpg", (190, 77), "RGB"),
    ("small.png", (21, 17), "RGB"),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    generator = np.random.default_rng(0)
    for name, size, mode in SHAPES:
        noise = generator.integers(0, 256, (9, 7, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(
            folder / name
        )
    return [folder / name for name, _, _ in SHAPES]


def timm_folder(folder: Path, architecture: str = "vit_tiny_patch16_224", **changes) -> Path:
    settings = {
        "vit_tiny_patch16_224": {
            "img_size": 32,
            "patch_size": 8,
            "depth": 1,
            "embed_dim": 16,
            "num_heads": 2,
        },
        "convnext_atto": {"depths": (1, 1, 1, 1), "dims": (4, 8, 12, 16)},
    }
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=3, **settings[architecture])
    model.pretrained_cfg.update(changes)
    timm.models.save_for_hf(model, folder, safe_serialization=architecture != "convnext_atto")
    return folder


HF = {
    "vit": (
        lambda: transformers.ViTModel(transformers.ViTConfig(**TINY_VIT)),
        lambda: transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}),
    ),
    "dinov2": (
        lambda: transformers.Dinov2Model(transformers.Dinov2Config(**TINY_VIT)),
        lambda: transformers.BitImageProcessorPil(
            size={"shortest_edge": 37}, crop_size={"height": 32, "width": 32}
        ),
    ),
    "convnext": (
        lambda: transformers.ConvNextModel(
            transformers.ConvNextConfig(hidden_sizes=[4, 8, 12, 16], depths=[1, 1, 1, 1])
        ),
        lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": 64}),
    ),
    # Its image processor does not round pixels.
    "dinov3": (
        lambda: transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**TINY_VIT)),
        lambda: transformers.DINOv3ViTImageProcessor(size={"height": 32, "width": 32}),
    ),
    "siglip": (
        lambda: transformers.SiglipModel(
            transformers.SiglipConfig(
                vision_config=TINY_VIT,
                text_config={**TINY_VIT, "vocab_size": 9, "projection_size": 16},
            )
        ),
        lambda: transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32}),
    ),
}  # fmt: skip


def hf_folder(folder: Path, kind: str = "vit") -> Path:
    torch.manual_seed(0)
    network, processor = (make() for make in HF[kind])
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def embed(name: str, files: list[Path], cache: Path, **settings) -> np.ndarray:
    settings = {"engine": "torch", "color": "rgb", **settings}
    return featx.extract(files, name, views=1, cache=cache, **settings).X


def check_equal(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def colored(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("vit_tiny_patch16_224", {}),
        (
            "vit_tiny_patch16_224",
            {"crop_mode": "squash", "crop_pct": 1.0, "interpolation": "bilinear"},
        ),
        ("convnext_atto", {}),
    ],
)
def test_timm(tmp_path: Path, files: list[Path], architecture: str, changes: dict) -> None:
    folder = timm_folder(tmp_path / "net", architecture, **changes)
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=theirs))
    with torch.inference_mode():
        wanted = torch.cat([theirs(transform(colored(path))[None]) for path in files]).numpy()
    check_equal(embed(f"timm:{folder}", files, tmp_path), wanted)
    record = get_backbone(f"timm:{folder}")
    assert record.license == "apache-2.0"
    assert str(tmp_path) not in f"{record.name} {record.source}"


def test_timm_stages_and_tokens(tmp_path: Path, files: list[Path]) -> None:
    vit, convnext = (
        timm_folder(tmp_path / name, architecture)
        for name, architecture in [("v", "vit_tiny_patch16_224"), ("c", "convnext_atto")]
    )
    theirs = timm.create_model(f"local-dir:{convnext}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=theirs))
    with torch.inference_mode():
        maps = theirs.forward_intermediates(transform(colored(files[0]))[None], indices=[1, 2, 3])[
            1
        ]
    wanted = np.concatenate(
        [part for each in maps for part in (each.mean((2, 3)), each.std((2, 3), correction=0))],
        axis=1,
    )
    check_equal(embed(f"timm:{convnext}", files[:1], tmp_path, pooling="multi_depth"), wanted)

    theirs = timm.create_model(f"local-dir:{vit}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=theirs))
    with torch.inference_mode():
        tokens = theirs.forward_features(transform(colored(files[0]))[None])
    for pooling, wanted in (("class", tokens[:, 0]), ("tokens", tokens[:, 1:].mean(1))):
        found = embed(f"timm:{vit}", files[:1], tmp_path, pooling=pooling)
        check_equal(found, wanted.numpy())


@pytest.mark.parametrize("kind", [*HF])
def test_transformers(tmp_path: Path, files: list[Path], kind: str) -> None:
    folder = hf_folder(tmp_path / "net", kind)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A network\n")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    theirs = getattr(theirs, "vision_model", theirs)
    inputs = [processor(colored(path), return_tensors="pt")["pixel_values"] for path in files]
    with torch.inference_mode():
        wanted = torch.cat([theirs(pixel_values=each).pooler_output for each in inputs]).numpy()
    check_equal(embed(f"hf:{folder}", files, tmp_path), wanted)
    assert get_backbone(f"hf:{folder}").license == "mit"


def test_transformers_without_the_weights_of_its_pooler(tmp_path: Path, files: list[Path]) -> None:
    folder = hf_folder(tmp_path / "net")
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**TINY_VIT)).eval()
    model.save_pretrained(folder)
    inputs = HF["vit"][1]()(colored(files[0]), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        wanted = model.vit(pixel_values=inputs).last_hidden_state[:, 0].numpy()
    check_equal(embed(f"hf:{folder}", files[:1], tmp_path), wanted)


@pytest.fixture(scope="module")
def densenet(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    torch.manual_seed(0)
    return torchxrayvision.models.DenseNet().eval()


def put_weights(home: Path, name: str, saved: object) -> Path:
    url = torchxrayvision.models.model_urls[name]["weights_url"]
    path = home / ".torchxrayvision" / "models_data" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(saved, path)
    return path


def test_torchxrayvision(
    tmp_path: Path, files: list[Path], densenet: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    # The published files hold the whole module, not only its state dictionary.
    put_weights(tmp_path, "densenet121-res224-nih", densenet)
    files = [*files[:1], tmp_path / "landscape.png", tmp_path / "small.png"]
    gray = Image.open(files[0])
    gray.transpose(Image.Transpose.ROTATE_90).resize((611, 390)).convert("RGB").save(files[1])
    gray.resize((33, 48)).save(files[2])
    crop, resize = (
        torchxrayvision.datasets.XRayCenterCrop(),
        torchxrayvision.datasets.XRayResizer(224),
    )
    inputs = [resize(crop(torchxrayvision.utils.load_image(str(path)))) for path in files]
    with torch.inference_mode():
        wanted = densenet.features2(torch.from_numpy(np.stack(inputs))).numpy()
    name = "torchxrayvision:densenet121-res224-nih"
    check_equal(embed(name, files, tmp_path, color="gray"), wanted)


def test_weights_that_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ran = tmp_path / "ran"

    class Harm:
        def __reduce__(self) -> tuple:
            return Path.touch, (ran,)

    put_weights(tmp_path, "densenet121-res224-pc", {"classifier.bias": Harm()})
    record = get_backbone("torchxrayvision:densenet121-res224-pc")
    with pytest.raises(UsageError, match=r"without running its code .* \.safetensors"):
        make_engine(record, find_weights(record), "torch")
    assert not ran.exists()


def test_conversion_agrees(tmp_path: Path, files: list[Path]) -> None:
    pytest.importorskip("openvino")
    folder = hf_folder(tmp_path / "net")
    rows = [
        embed(f"hf:{folder}", files, tmp_path / each, engine=each) for each in ("torch", "openvino")
    ]
    check_equal(rows[1], rows[0])


def test_short_floats_differ_a_little(tmp_path: Path, files: list[Path]) -> None:
    name = f"timm:{timm_folder(tmp_path / 'net')}"
    exact = embed(name, files, tmp_path)
    short = embed(name, files, tmp_path, precision="bfloat16")
    assert 1e-5 < np.abs(short - exact).max() / np.abs(exact).max() < 0.05


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
    # As its class names them; transformers writes other names for its own.
    state = transformers.ViTModel.from_pretrained(folder).state_dict()
    save_file(state, folder / "model.safetensors", {"format": "pt"})
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


def test_other_sizes(tmp_path: Path) -> None:
    record = get_backbone(f"hf:{hf_folder(tmp_path / 'net', 'dinov2')}@64")
    assert (record.size, record.framing.edge) == ((64, 64), 74)
    with pytest.raises(UsageError, match="takes images of 32 pixels only"):
        get_backbone(f"timm:{timm_folder(tmp_path / 'vit')}@64")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    folder = timm_folder(tmp_path / "net")
    shutil.copy(hf_folder(tmp_path / "other") / "model.safetensors", folder)
    record = get_backbone(f"timm:{folder}")
    with pytest.raises(
        FeatxError, match="of vit_tiny_patch16_224 of timm cannot be opened by timm"
    ):
        make_engine(record, find_weights(record), "torch")


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


def test_model_finds_its_network_in_another_place(tmp_path: Path, files: list[Path]) -> None:
    folder = timm_folder(tmp_path / "here" / "net")
    labels = {"labels": ["a", "b"] * 4, "patients": [f"p{n}" for n in range(8)]}
    images = featx.ImageDataset.from_arrays(
        np.random.default_rng(0).integers(0, 256, (8, 40, 40), dtype=np.uint8), **labels
    )
    matrix = featx.extract(
        images, f"timm:{folder}", views=1, cache=tmp_path / "cache", engine="torch"
    )
    assert str(tmp_path) not in json.dumps(matrix.recipes)
    model = featx.fit(matrix, "naive_bayes")
    model.save(tmp_path / "model.skops")
    moved = tmp_path / "there"
    moved.mkdir()
    folder.rename(moved / "net")
    found = featx.load_model(tmp_path / "model.skops").predict_files(
        files, weights_dir=moved, cache=tmp_path / "empty", engine="torch"
    )
    assert len(found.names) == len(files)
