import importlib.util
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from featx.backbones._keras import import_keras
from featx.baselines import registry
from featx.baselines.ensemble import FeatureTables
from featx.baselines.registry import get_baseline
from featx.baselines.train import train
from featx.baselines.training_data import TrainingData
from featx.baselines.views import ImageViews
from featx.baselines.vision_transformer import vision_transformer
from featx.errors import FeatxError, MissingExtraError, UsageError
from featx.images.augmentation import Augmentation
from tests.baselines.interruption import fit_with
from tests.process_states import NETWORK_STATES

SETTINGS = {"size": 32, "epochs": 5, "batch_size": 16, "augmentation": "none"}

has_hub = importlib.util.find_spec("keras_hub") is not None
needs_hub = pytest.mark.skipif(not has_hub, reason="KerasHub is an extra (featx[hub]), not here")


TINY_PARAMETERS = {n: (25 * 3 + 1) * n + (25 * n + 1) * 2 * n for n in (4, 6, 8)}


def tiny(pixels, weights=None, *, filters):
    layers = import_keras().layers
    x = layers.Conv2D(filters, 5, strides=2, activation="relu")(pixels)
    x = layers.Conv2D(2 * filters, 5, strides=2, activation="relu")(x)
    return layers.GlobalMaxPooling2D(name="features")(x)


@pytest.fixture(scope="module")
def trio():
    """The ensemble with three tiny pieces, since the mechanism is the point."""
    base = get_baseline("ramirez-cnn-corrected")
    pieces = tuple(
        replace(base, name=f"tiny-{filters}", body=partial(tiny, filters=filters))
        for filters in (4, 6, 8)
    )
    recipe = replace(get_baseline("mabrouk-ensemble"), name="trio", pieces=pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._RECIPES, "trio", recipe)
        yield recipe


@pytest.fixture(scope="module")
def trained(blobs, trio, tmp_path_factory):
    """Its folder after a training in a program that set a dtype policy."""
    out = tmp_path_factory.mktemp("trio") / "out"
    with NETWORK_STATES["dtype policy mixed_float16"].applied():
        return out, train(blobs(), "trio", out=out, **SETTINGS)


def test_ensemble_learns_from_the_features_of_its_pieces(blobs, trio, trained):
    out, trained = trained
    fresh = blobs(60, random_state=1)
    values = trained.predict_proba(fresh)
    assert roc_auc_score(fresh.labels, values[:, 1]) > 0.9
    assert sorted(path.name for path in (out / "pieces").iterdir()) == [
        "tiny-4", "tiny-6", "tiny-8",
    ]  # fmt: skip
    # Epochs asked for are those of the pieces; the classifier on top keeps its own.
    assert [piece.epochs for piece in trained.recipe.pieces] == [SETTINGS["epochs"]] * 3
    assert trained.recipe.epochs == trio.epochs
    # The features of all three reach the classifier: 2 x (4 + 6 + 8), with scale and offset each.
    widths = (8, 12, 16)
    dense = (sum(widths) + 1) * 256 + 257
    assert trained.parameters == sum(TINY_PARAMETERS.values()) + 2 * sum(widths) + dense
    loaded = import_keras().models.load_model(out / "network.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
    np.testing.assert_allclose(
        loaded.predict_on_batch(pixels), trained.network.predict_on_batch(pixels), rtol=1e-5
    )
    layers = trained.network._flatten_layers(include_self=False)
    assert {layer.compute_dtype for layer in layers if layer.weights} == {"float32"}


def test_finished_pieces_are_not_trained_again(blobs, trained, tmp_path, monkeypatch):
    folder, first = trained
    shutil.copytree(folder, out := tmp_path / "out")
    images, ran = blobs(), []
    note = import_keras().callbacks.LambdaCallback()
    note.on_epoch_end = lambda epoch, logs=None: ran.append(note.model.count_params())
    fit_with(monkeypatch, note)
    again = train(images, "trio", out=out, **SETTINGS)
    assert ran == []
    np.testing.assert_array_equal(again.predict_proba(images), first.predict_proba(images))
    assert again.seconds > sum(first.history["seconds"])

    shutil.rmtree(out / "checkpoints")
    shutil.rmtree(out / "pieces" / "tiny-6" / "checkpoints")
    repaired = train(images, "trio", out=out, **SETTINGS)
    head = first.parameters - sum(TINY_PARAMETERS.values())
    assert set(ran) == {TINY_PARAMETERS[6] + 2 * 6 + 1, head}
    np.testing.assert_allclose(
        repaired.predict_proba(images), first.predict_proba(images), rtol=1e-3, atol=1e-4
    )


def test_views_of_features_repeat_after_the_last(blobs):
    images = blobs(12, 32)
    data = TrainingData(
        images,
        ImageViews(images, (32, 32), Augmentation.named("radiograph")),
        np.arange(8),
        np.arange(8, 12),
        random_state=0,
    )
    keras = import_keras()
    pixels = keras.Input((32, 32, 1))
    extractor = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))
    recipe = replace(get_baseline("mabrouk-ensemble"), size=(32, 32), batch_size=5)
    tables = FeatureTables(data, recipe, extractor)
    seen = [tables.render(np.array([2, 0]), view) for view in range(6)]
    for view in range(4):
        expected = data.views.with_settings((32, 32), Augmentation.named("radiograph"))
        means = expected.render(np.array([2, 0]), view).mean(axis=(1, 2))
        np.testing.assert_allclose(seen[view], means, rtol=1e-4)
    np.testing.assert_array_equal(seen[4], seen[0])
    np.testing.assert_array_equal(seen[5], seen[1])


def test_one_file_cannot_be_the_weights_of_several_networks(blobs, tmp_path):
    with pytest.raises(UsageError, match="--weights-dir"):
        train(blobs(), "mabrouk-ensemble", weights=tmp_path / "a.h5", batch_size=16)


@pytest.mark.skipif(has_hub, reason="KerasHub is here")
def test_missing_keras_hub_is_told_with_the_extra(blobs):
    with pytest.raises(MissingExtraError, match=r"Vision Transformer .*featx\[hub\]"):
        train(blobs(), "mabrouk-ensemble", weights="random", batch_size=16)


@needs_hub
def test_missing_weights_of_the_transformer_are_told(blobs, monkeypatch):
    import kagglehub

    def fail(handle):
        raise ConnectionError("no route")

    monkeypatch.setattr(kagglehub, "model_download", fail)
    from featx.baselines.vision_transformer import find_vit_weights

    with pytest.raises(FeatxError, match=r"no route[\s\S]*vit_base_patch16_224_imagenet"):
        find_vit_weights("imagenet", None, 0, (224, 224))


@needs_hub
def test_transformer_is_vit_b16_and_takes_a_preset(tmp_path):
    import keras_hub

    from featx.baselines.vision_transformer import find_vit_weights

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
    monkeypatch.setitem(registry._RECIPES, recipe.name, recipe)
    images = blobs(32, 32)
    trained = train(images, recipe.name, weights="random", size=32, epochs=2, batch_size=8)
    values = trained.predict_proba(images)
    assert values.shape == (32, 2)
    assert np.isfinite(values).all()
    assert trained.network.layers[-1].input_shape[-1] == 1664 + 1280 + 16
