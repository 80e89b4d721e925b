"""Networks of timm, transformers and TorchXRayVision give the features of their makers."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx
from featx.backbones.registry import get_backbone
from featx.datasets.synthetic import make_phantoms
from featx.errors import UsageError
from tests.backbones.hub_networks import (
    HF,
    TINY_VIT,
    check_equal,
    embed,
    hf_folder,
    put_weights,
    timm,
    timm_folder,
    torch,
    torchxrayvision,
    transformers,
)


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


def test_a_network_of_the_hub_s_cache_names_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, commit = tmp_path / "models--some-org--tiny.net", "0" * 40
    hf_folder(home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    generator = np.random.default_rng(0)
    images = featx.ImageDataset.from_arrays(
        generator.integers(0, 256, (60, 40, 40), dtype=np.uint8),
        ["a", "b"] * 30,
        patients=[f"p{n}" for n in range(60)],
    )
    settings = {"views": 1, "cv": 2, "engine": "torch", "controls": "none", "learning_curve": False}
    out = tmp_path / "out"
    featx.benchmark(images, ["hf:some-org/tiny.net"], ["naive_bayes"], out=out, **settings)
    (model,) = (out / "models").glob("*.skops")
    assert model.name == "hf-some-org-tiny.net-naive_bayes.skops"
    found = featx.predict(model, images, cache=tmp_path / "cache", engine="torch")
    assert len(found.names) == 60


def test_conversion_agrees(tmp_path: Path, files: list[Path]) -> None:
    pytest.importorskip("openvino")
    folder = hf_folder(tmp_path / "net")
    rows = [
        embed(f"hf:{folder}", files, tmp_path / each, engine=each) for each in ("torch", "openvino")
    ]
    check_equal(rows[1], rows[0])


def test_int8_of_attention_stays_near_the_float(tmp_path: Path, files: list[Path]) -> None:
    pytest.importorskip("nncf")
    name = f"timm:{timm_folder(tmp_path / 'net')}"
    images = make_phantoms(tmp_path / "images", patients=12, images_per_patient=(1, 1))
    for pooling in ("average", "tokens"):
        file = tmp_path / f"{pooling}.xml"
        network = featx.quantize(name, images, out=file, pooling=pooling, cache=tmp_path)
        assert network.poolings == (pooling,)
        exact = embed(name, images, tmp_path, pooling=pooling)
        short = embed(network, images, tmp_path, engine="auto", pooling=pooling)
        assert 0 < np.abs(short - exact).max() / np.abs(exact).max() < 0.05


def test_short_floats_differ_a_little(tmp_path: Path, files: list[Path]) -> None:
    name = f"timm:{timm_folder(tmp_path / 'net')}"
    exact = embed(name, files, tmp_path)
    short = embed(name, files, tmp_path, precision="bfloat16")
    assert 1e-5 < np.abs(short - exact).max() / np.abs(exact).max() < 0.05


def test_other_sizes(tmp_path: Path) -> None:
    record = get_backbone(f"hf:{hf_folder(tmp_path / 'net', 'dinov2')}@64")
    assert (record.size, record.framing.edge) == ((64, 64), 74)
    with pytest.raises(UsageError, match="takes images of 32 pixels only"):
        get_backbone(f"timm:{timm_folder(tmp_path / 'vit')}@64")


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
