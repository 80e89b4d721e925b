"""Small networks of timm and transformers with random weights; importing it skips without them."""

from pathlib import Path

import numpy as np
import pytest

import featx

REASON = "needs the extras timm, hf and torchxrayvision"
for name in ("torch", "timm", "transformers", "torchxrayvision"):
    pytest.importorskip(name, reason=REASON, exc_type=ImportError)

import timm  # noqa: E402
import torch  # noqa: E402
import torchxrayvision  # noqa: E402
import transformers  # noqa: E402

TINY_VIT = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip


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


def put_weights(home: Path, name: str, saved: object) -> Path:
    url = torchxrayvision.models.model_urls[name]["weights_url"]
    path = home / ".torchxrayvision" / "models_data" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(saved, path)
    return path
