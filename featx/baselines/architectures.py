"""Layers of the baselines: from gray intensities (0 to 255) to class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from featx.backbones._keras import import_keras
from featx.backbones.spec import BackboneSpec
from featx.backbones.weights import Weights, load_base

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

    from featx.baselines.baseline_recipe import BaselineRecipe


def build_network(
    recipe: BaselineRecipe, size: tuple[int, int], n_classes: int, weights: Weights | None
) -> keras.Model:
    """Build the uncompiled network of a recipe."""
    keras = import_keras()
    gray = keras.Input((*size, 1), name="gray")
    # In half precision neighboring gray levels would run together before they are scaled.
    pixels = keras.layers.Concatenate(name="rgb", dtype="float32")([gray, gray, gray])
    features = recipe.body(recipe.preprocessing(pixels), weights)
    output = output_layer(n_classes)(features)
    return keras.Model(gray, output, name=recipe.name.replace(":", "_").replace("-", "_"))


def output_layer(n_classes: int) -> keras.layers.Layer:
    """Return the output layer, in float32 even in mixed precision."""
    return import_keras().layers.Dense(
        1 if n_classes == 2 else n_classes,
        activation="sigmoid" if n_classes == 2 else "softmax",
        dtype="float32",
        name="probability",
    )


def split_output(network: keras.Model) -> tuple[keras.Model, keras.layers.Layer] | None:
    """Return a network without its output layer, and that layer; None of an ensemble."""
    last = network.layers[-1]
    if last.name != "probability":
        return None
    return import_keras().Model(network.input, last.input), last


def ramirez_cnn(
    pixels: KerasTensor,
    weights: Weights | None = None,  # noqa: ARG001
    *,
    channels: int = 3,
    momentum: float = 0.99,
) -> KerasTensor:
    """Stack the five convolutions and the dense layer of Ramírez Cámara (2022).

    Dropout precedes batch normalization, and pooling pads, as in the report's source notebook.
    Pixels are preprocessed, of shape (batch, height, width, 3).
    """
    layers = import_keras().layers
    x = pixels[..., :channels]
    for filters, dropout in ((32, 0.0), (64, 0.1), (64, 0.0), (128, 0.2), (256, 0.2)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
        x = layers.BatchNormalization(momentum=momentum)(x)
        x = layers.MaxPooling2D(2, strides=2, padding="same")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    return layers.Dropout(0.2)(x)


def staged_cnn(
    pixels: KerasTensor,
    weights: Weights | None = None,  # noqa: ARG001
    *,
    filters: Sequence[int],
) -> KerasTensor:
    """Stack stages of one convolution and one pooling, then a dense layer."""
    layers = import_keras().layers
    x = pixels
    for count in filters:
        x = layers.Conv2D(count, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.2)(x)
    return layers.Dense(128, activation="relu")(x)


def pretrained(
    backbone: BackboneSpec,
    pixels: KerasTensor,
    weights: Weights,
    *,
    dropout: float = 0.2,
    pooling: Literal["average", "flatten"] = "average",
) -> KerasTensor:
    """Add pooling and dropout to a backbone."""
    keras = import_keras()
    layers = keras.layers
    base = load_base(
        backbone,
        weights,
        input_shape=tuple(pixels.shape[1:3]),
        trainable=True,
        # That of the recipe, which the training has set.
        policy=keras.config.dtype_policy().name,
    )
    pool = layers.GlobalAveragePooling2D if pooling == "average" else layers.Flatten
    x = pool(name="features")(base(pixels))
    return layers.Dropout(dropout)(x) if dropout else x


def base_of(network: keras.Model) -> keras.Model | None:
    """Return the backbone inside a network, or None."""
    keras = import_keras()
    return next((layer for layer in network.layers if isinstance(layer, keras.Model)), None)


def freeze(network: keras.Model, layers: int | None, *, batch_norm: bool = False) -> None:
    """Freeze the first `layers` of a network's backbone (None: all) for models compiled later."""
    base = base_of(network)
    if base is None:
        return
    kept = () if batch_norm else import_keras().layers.BatchNormalization
    # Layer by layer: setting the model's own attribute does not reach layers frozen one by one.
    for index, layer in enumerate(base.layers):
        layer.trainable = layers is not None and index >= layers and not isinstance(layer, kept)
