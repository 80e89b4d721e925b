import importlib.util
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from featx.backbones._keras import import_keras
from featx.baselines import loop
from featx.baselines import registry as recipes
from featx.baselines.ensemble import ENSEMBLES, FeatureSource
from featx.baselines.registry import get_baseline
from featx.baselines.training import train_baseline
from featx.baselines.transformer import vision_transformer
from featx.errors import FeatxError, MissingExtraError, UsageError

SETTINGS = {"size": 32, "epochs": 2, "batch_size": 16, "augmentation": "none"}

has_hub = importlib.util.find_spec("keras_hub") is not None
needs_hub = pytest.mark.skipif(not has_hub, reason="KerasHub is an extra (featx[hub]), not here")


def tiny(pixels, weights=None, *, filters):
    layers = import_keras().layers
    x = layers.Conv2D(filters, 5, strides=2, activation="relu")(pixels)
    x = layers.Conv2D(2 * filters, 5, strides=2, activation="relu")(x)
    return layers.GlobalMaxPooling2D(name="features")(x)


@pytest.fixture
def trio(monkeypatch):
    """The ensemble with three tiny pieces, since the mechanism is the point."""
    base = get_baseline("ramirez-cnn-corrected")
    pieces = tuple(
        replace(base, name=f"tiny-{filters}", body=partial(tiny, filters=filters))
        for filters in (4, 6, 8)
    )
    recipe = replace(ENSEMBLES[0], name="trio", pieces=pieces)
    monkeypatch.setitem(recipes._RECIPES, "trio", recipe)
    return recipe


def test_ensemble_learns_from_the_features_of_its_pieces(blobs, trio, tmp_path):
    settings = SETTINGS | {"epochs": 6}
    trained = train_baseline(blobs(160), "trio", out=tmp_path, **settings)
    fresh = blobs(60, random_state=1)
    values = trained.predict_proba(fresh)
    assert roc_auc_score(fresh.labels, values[:, 1]) > 0.9
    assert sorted(path.name for path in (tmp_path / "pieces").iterdir()) == [
        "tiny-4", "tiny-6", "tiny-8",
    ]  # fmt: skip
    # Epochs asked for are those of the pieces; the classifier on top keeps its own.
    assert [piece.epochs for piece in trained.recipe.pieces] == [6, 6, 6]
    assert trained.recipe.epochs == trio.epochs
    # The features of all three reach the classifier: 2 x (4 + 6 + 8), with scale and offset each.
    widths = (8, 12, 16)
    dense = (sum(widths) + 1) * 256 + 257
    convolutions = sum((25 * 3 + 1) * n + (25 * n + 1) * 2 * n for n in (4, 6, 8))
    assert trained.parameters == convolutions + 2 * sum(widths) + dense
    loaded = import_keras().models.load_model(tmp_path / "network.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
    np.testing.assert_allclose(
        loaded.predict_on_batch(pixels), trained.network.predict_on_batch(pixels), rtol=1e-5
    )


def test_pieces_are_reused_and_only_what_is_missing_is_trained(blobs, trio, tmp_path, monkeypatch):
    images, ran = blobs(), []
    original = loop._run_epoch

    def watch(network, trainer, task, *rest):
        ran.append(task.recipe.name)
        return original(network, trainer, task, *rest)

    monkeypatch.setattr(loop, "_run_epoch", watch)
    first = train_baseline(images, "trio", out=tmp_path, **SETTINGS)
    assert {name: ran.count(name) for name in ("tiny-4", "tiny-6", "tiny-8")} == {
        "tiny-4": 2, "tiny-6": 2, "tiny-8": 2,
    }  # fmt: skip
    ran.clear()
    again = train_baseline(images, "trio", out=tmp_path, **SETTINGS)
    assert ran == []
    np.testing.assert_array_equal(again.predict_proba(images), first.predict_proba(images))
    assert again.seconds > sum(first.history["seconds"])

    (tmp_path / "state.h5").unlink()
    (tmp_path / "pieces" / "tiny-6" / "state.h5").unlink()
    mended = train_baseline(images, "trio", out=tmp_path, **SETTINGS)
    assert set(ran) == {"tiny-6", "trio"}
    np.testing.assert_allclose(
        mended.predict_proba(images), first.predict_proba(images), rtol=1e-3, atol=1e-4
    )


def test_views_of_features_begin_again_after_the_last():
    tables = [np.full((3, 2), view, dtype=np.float32) for view in range(4)]
    source = FeatureSource(tables)
    seen = [next(source.batches([np.array([2, 0])], view))[0, 0] for view in range(6)]
    assert seen == [0, 1, 2, 3, 0, 1]


def test_one_file_cannot_be_the_weights_of_several_networks(blobs, tmp_path):
    with pytest.raises(UsageError, match="--weights-dir"):
        train_baseline(blobs(), "mabrouk-ensemble", weights=tmp_path / "a.h5", batch_size=16)


@pytest.mark.skipif(has_hub, reason="KerasHub is here")
def test_missing_keras_hub_is_told_with_the_extra(blobs):
    with pytest.raises(MissingExtraError, match=r"Vision Transformer .*featx\[hub\]"):
        train_baseline(blobs(), "mabrouk-ensemble", weights="random", batch_size=16)


@needs_hub
def test_missing_weights_of_the_transformer_are_told(blobs, monkeypatch):
    import kagglehub

    def fail(handle):
        raise ConnectionError("no route")

    monkeypatch.setattr(kagglehub, "model_download", fail)
    from featx.baselines.transformer import find_vit_weights

    with pytest.raises(FeatxError, match=r"no route[\s\S]*vit_base_patch16_224_imagenet"):
        find_vit_weights("imagenet", None, 0, (224, 224))


@needs_hub
def test_transformer_is_vit_b16_and_takes_a_preset(tmp_path):
    import keras_hub

    from featx.baselines.transformer import find_vit_weights

    small = {"patch_size": 8, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
    base = keras_hub.models.ViTBackbone(image_shape=(32, 32, 3), **small)
    folder = tmp_path / "vit_base_patch16_224_imagenet"
    base.save_to_preset(str(folder))
    weights = find_vit_weights("imagenet", tmp_path, 0, (32, 32))
    keras = import_keras()
    pixels = keras.Input((32, 32, 3))
    network = keras.Model(pixels, vision_transformer(pixels, weights))
    values = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(
        network.predict_on_batch(values), np.asarray(base(values))[:, 0], rtol=1e-4, atol=1e-5
    )
    with pytest.raises(UsageError, match="for 32 x 32 pixels, not 64 x 64"):
        find_vit_weights("imagenet", tmp_path, 0, (64, 64))

    random = find_vit_weights("random", None, 0, (224, 224))
    pixels = keras.Input((224, 224, 3))
    network = keras.Model(pixels, vision_transformer(pixels, random))
    # ViT-B/16 without its classification layer, as KerasHub's preset says.
    assert network.count_params() == 85_798_656
    assert network.output_shape == (None, 768)


@pytest.mark.slow
@needs_hub
def test_mabrouk_ensemble_trains_end_to_end(blobs, monkeypatch):
    recipe = get_baseline("mabrouk-ensemble")
    small = {"patch_size": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    *others, transformer = recipe.pieces
    transformer = replace(transformer, body=partial(vision_transformer, shape=small))
    # From random weights there is no head to warm up, and a stage costs a tracing.
    pieces = (replace(piece, head_epochs=0) for piece in (*others, transformer))
    recipe = replace(recipe, pieces=tuple(pieces))
    monkeypatch.setitem(recipes._RECIPES, recipe.name, recipe)
    images = blobs(32, 32)
    trained = train_baseline(images, recipe.name, weights="random", size=32, epochs=2, batch_size=8)
    values = trained.predict_proba(images)
    assert values.shape == (32, 2)
    assert np.isfinite(values).all()
    assert trained.network.layers[-1].input_shape[-1] == 1664 + 1280 + 16
