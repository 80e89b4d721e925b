import math

import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights, load_base
from featx.baselines.architectures import base_of, build_network, freeze
from featx.baselines.registry import get_baseline


def ramirez_cnn(size, n_classes=2):
    return build_network(get_baseline("ramirez-cnn"), (size, size), n_classes, None)


@pytest.mark.parametrize("size", [300, 64])
def test_ramirez_cnn_has_the_parameters_of_the_reports_layers(size):
    expected, channels, side = 0, 3, size
    for filters in (32, 64, 64, 128, 256):
        expected += (9 * channels + 1) * filters + 4 * filters
        channels, side = filters, math.ceil(side / 2)
    expected += (side * side * channels + 1) * 128 + 129
    assert ramirez_cnn(size).count_params() == expected


def test_ramirez_cnn_has_the_reports_layers_in_order():
    network = ramirez_cnn(64)
    kinds = [type(layer).__name__ for layer in network.layers]
    plain = ["Conv2D", "BatchNormalization", "MaxPooling2D"]
    dropped = ["Conv2D", "Dropout", "BatchNormalization", "MaxPooling2D"]
    start = kinds.index("Conv2D")
    assert kinds[start:] == (
        plain + dropped + plain + dropped + dropped + ["Flatten", "Dense", "Dropout", "Dense"]
    )
    rates = [layer.rate for layer in network.layers if hasattr(layer, "rate")]
    assert rates == [0.1, 0.2, 0.2, 0.2]
    assert network.layers[-1].activation.__name__ == "sigmoid"
    pools = [layer for layer in network.layers if type(layer).__name__ == "MaxPooling2D"]
    assert {(p.pool_size, p.strides, p.padding) for p in pools} == {((2, 2), (2, 2), "same")}


def test_ramirez_cnn_divides_pixels_by_255():
    network = ramirez_cnn(32)
    first = next(layer for layer in network.layers if type(layer).__name__ == "Conv2D")
    probe = import_keras().Model(network.input, first.input)
    pixels = np.full((1, 32, 32, 1), 51, dtype=np.float32)
    np.testing.assert_allclose(probe.predict_on_batch(pixels), np.full((1, 32, 32, 3), 0.2))


def test_more_classes_get_a_softmax():
    output = ramirez_cnn(32, n_classes=3).predict_on_batch(np.zeros((2, 32, 32, 1), np.float32))
    assert output.shape == (2, 3)
    np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "frozen", "parameters", "trainable"),
    [("inception", 200, 21_804_833, 14_806_337), ("resnet", 100, 23_589_761, 19_454_977)],
)
def test_transfer_networks_have_the_reports_parameters(name, frozen, parameters, trainable):
    recipe = get_baseline(f"ramirez-{name}")
    weights = find_weights(get_backbone(recipe.backbone), "random")
    network = build_network(recipe, recipe.size, 2, weights)
    freeze(network, recipe.frozen_layers, batch_norm=recipe.train_batch_norm)
    assert recipe.frozen_layers == frozen
    assert network.input_shape == (None, 300, 300, 1)
    assert network.count_params() == parameters
    assert sum(math.prod(v.shape) for v in network.trainable_variables) == trainable
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds[-3:] == ["Functional", "GlobalAveragePooling2D", "Dense"]
    assert network.layers[-1].activation.__name__ == "sigmoid"
    # The correction trains no batch norm, and else the same.
    freeze(network, get_baseline(f"ramirez-{name}-corrected").frozen_layers)
    norms = [layer for layer in base_of(network).layers if "Normalization" in type(layer).__name__]
    assert not any(layer.trainable for layer in norms)
    assert base_of(network).layers[-2].trainable or base_of(network).layers[-1].trainable


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_kaushik_networks_have_their_stages(stages):
    network = build_network(get_baseline(f"kaushik-{stages}"), (64, 64), 2, None)
    kinds = [type(layer).__name__ for layer in network.layers]
    start = kinds.index("Conv2D")
    assert kinds[start:] == ["Conv2D", "MaxPooling2D"] * stages + [
        "Flatten", "Dropout", "Dense", "Dense",
    ]  # fmt: skip
    expected, channels = 0, 3
    for filters in (32, 64, 128, 256)[:stages]:
        expected += (9 * channels + 1) * filters
        channels = filters
    side = 64 // 2**stages
    assert network.count_params() == expected + (side * side * channels + 1) * 128 + 129


def test_mathur_network_is_that_of_ramirez_cnn_on_one_channel():
    network = build_network(get_baseline("mathur-cnn"), (150, 150), 2, None)
    first = next(layer for layer in network.layers if type(layer).__name__ == "Conv2D")
    assert first.kernel.shape == (3, 3, 1, 32)
    # As the notebook's own summary has it.
    assert network.count_params() == 1_246_401


@pytest.mark.parametrize(("name", "on_top"), [("vgg", 2 * 2 * 512 + 1), ("inception", 2048 + 1)])
def test_shekhar_networks_train_one_layer_on_a_frozen_backbone(name, on_top):
    recipe = get_baseline(f"shekhar-{name}")
    weights = find_weights(get_backbone(recipe.backbone), "random")
    size = max(64, recipe.minimum_size)
    network = build_network(recipe, (size, size), 2, weights)
    freeze(network, recipe.frozen_layers, batch_norm=recipe.train_batch_norm)
    assert sum(math.prod(v.shape) for v in network.trainable_variables) == on_top


@pytest.fixture(scope="module")
def lite():
    """Lite0 with its own weights, as they come and inside a recipe's network."""
    recipe = get_baseline("finetuned:efficientnet_lite0")
    weights = find_weights(get_backbone("efficientnet_lite0"))
    return build_network(recipe, (64, 64), 2, weights), weights


def test_backbone_in_the_network_sees_its_own_preprocessing(lite):
    network, weights = lite
    backbone = get_backbone("efficientnet_lite0")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 1)).astype(np.float32)
    alone = load_base(backbone, weights, input_shape=(64, 64))
    maps = alone.predict_on_batch((np.repeat(pixels, 3, axis=3) - 127) / 128)
    features = network.get_layer("features").output
    inside = import_keras().Model(network.input, features).predict_on_batch(pixels)
    np.testing.assert_allclose(inside, maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)


def _train_step(network):
    keras = import_keras()
    base = base_of(network)
    before = {variable.path: np.array(variable) for variable in base.variables}
    trainer = keras.Model(network.inputs[0], network.outputs[0])
    # One step costs less than to trace it.
    trainer.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", run_eagerly=True)
    pixels = np.random.default_rng(1).uniform(0, 255, (4, 64, 64, 1)).astype(np.float32)
    trainer.train_on_batch(pixels, np.array([[0.0], [1.0], [0.0], [1.0]], dtype=np.float32))
    return {
        variable.path
        for variable in base.variables
        if not np.array_equal(before[variable.path], np.array(variable))
    }


def test_freezing_goes_and_comes_back(lite):
    network, _ = lite
    layers = base_of(network).layers
    for first, trained in ((None, len(layers)), (0, 0), (50, 50)):
        freeze(network, first, batch_norm=True)
        expected = [index >= trained for index in range(len(layers))]
        assert [layer.trainable for layer in layers] == expected
    freeze(network, None)
    assert len(network.trainable_variables) == 2


@pytest.mark.parametrize(
    ("layers", "batch_norm", "kinds"),
    [
        (None, False, set()),
        (0, False, {"kernel"}),
        (0, True, {"kernel", "gamma", "beta", "moving_mean", "moving_variance"}),
    ],
)
def test_only_what_is_not_frozen_moves(lite, layers, batch_norm, kinds):
    network, _ = lite
    freeze(network, layers, batch_norm=batch_norm)
    assert {path.rsplit("/", 1)[1] for path in _train_step(network)} == kinds
