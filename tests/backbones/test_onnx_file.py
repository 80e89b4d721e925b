"""ONNX networks: features against onnxruntime and NumPy, and files and cards that are refused."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from PIL import Image

import featx
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.baselines.registry import get_baseline
from featx.errors import FeatxError, UsageError
from featx.features.config import ExtractionConfig
from tests.backbones.onnx_networks import CARD, write_card, write_onnx


def reference(path, pixels, output="vector"):
    """Features by onnxruntime, of RGB pixels of the input's size."""
    values = (pixels / np.float32(255) - CARD["mean"]) / CARD["scale"]
    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    inputs = values.astype(np.float32).transpose(0, 3, 1, 2)
    return np.concatenate([session.run([output], {name: each[None]})[0] for each in inputs])


def embed(path, pixels, engine="auto", pooling="average"):
    backbone = get_backbone(f"onnx:{path}")
    return make_engine(backbone, find_weights(backbone), engine, pooling).embed(pixels)


@pytest.fixture
def pixels(generator):
    return generator.uniform(0, 255, (5, 16, 16, 3)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return write_card(write_onnx(tmp_path / "chest.onnx"))


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_features_are_those_of_onnxruntime(path, pixels, engine):
    expected = reference(path, pixels)
    np.testing.assert_allclose(embed(path, pixels, engine), expected, rtol=1e-4, atol=1e-5)
    # A row does not depend on its batch.
    alone = embed(path, pixels[3:4], engine)
    assert (embed(path, pixels, engine)[3:4] == alone).all()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_tokens_and_maps_are_pooled_as_their_card_says(tmp_path, pixels, engine):
    file = write_onnx(tmp_path / "three.onnx", ("tokens", "maps", "vector"))
    write_card(file, output="tokens", pooling="class", prefix_tokens=1)
    tokens = reference(file, pixels, "tokens")
    for pooling, expected in (
        ("average", tokens[:, 0]),
        ("class", tokens[:, 0]),
        ("tokens", tokens[:, 1:].mean(axis=1)),
    ):
        found = embed(file, pixels, engine, pooling)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    write_card(file, output="maps")
    maps = reference(file, pixels, "maps")
    for pooling, expected in (
        ("average", maps.mean(axis=(2, 3))),
        ("max", maps.max(axis=(2, 3))),
        ("gem", (np.maximum(maps, 1e-6) ** 3).mean(axis=(2, 3)) ** (1 / 3)),
    ):
        found = embed(file, pixels, engine, pooling)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    quadrants = embed(file, pixels, engine, "quadrants")
    np.testing.assert_allclose(quadrants[:, :6], maps[:, :, :2, :2].mean(axis=(2, 3)), rtol=1e-4)
    with pytest.raises(UsageError, match="does not allow pooling 'class'; choose average or max"):
        ExtractionConfig(f"onnx:{file}", pooling="class")


def test_layout_color_and_range_are_those_of_the_card(tmp_path, generator):
    pixels = generator.uniform(0, 255, (2, 16, 16, 1)).astype(np.float32)
    file = write_onnx(tmp_path / "gray.onnx", shape=(1, 16, 16, 1))
    write_card(file, color="gray", range=[-1024, 1024], mean=0, scale=1)
    session = onnxruntime.InferenceSession(file)
    numbers = ((2 * (pixels / 255) - 1) * 1024).astype(np.float32)
    expected = [session.run(None, {"pixels": each[None]})[0][0] for each in numbers]
    np.testing.assert_allclose(embed(file, pixels), expected, rtol=1e-4)
    with pytest.raises(UsageError, match="does not allow color 'rgb'"):
        ExtractionConfig(f"onnx:{file}", color="rgb")
    colors = np.repeat(pixels, 3, axis=3) * np.float32([1, 0.5, 0.2])
    plain = write_card(write_onnx(tmp_path / "plain.onnx"), color="bgr", mean=0, scale=1)
    inputs = (colors[..., ::-1] / 255).transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(plain)
    expected = session.run(None, {"pixels": np.ascontiguousarray(inputs, dtype=np.float32)})[0]
    np.testing.assert_allclose(embed(plain, colors), expected, rtol=1e-4, atol=1e-5)


def test_a_free_size_is_that_of_the_name_or_the_card(tmp_path):
    file = write_onnx(tmp_path / "free.onnx", shape=("n", 3, "h", "w"))
    write_card(file)
    with pytest.raises(UsageError, match=r"free\.json lacks size\. For example"):
        get_backbone(f"onnx:{file}")
    write_card(file, size=32)
    assert get_backbone(f"onnx:{file}").size == (32, 32)
    assert get_backbone(f"onnx:{file}@48").size == (48, 48)
    name = get_backbone(f"onnx:{file}").name
    assert get_backbone(f"{name}@48").size == (48, 48)
    write_card(file, size=[32, 48])
    assert get_backbone(f"onnx:{file}").size == (32, 48)


def test_a_name_has_no_path_and_changes_with_weights_and_card(path, tmp_path):
    config = ExtractionConfig(f"ONNX:{path}")
    (name,) = config.backbones
    assert name.startswith("onnx:chest-")
    assert str(tmp_path) not in str(config.to_dict())
    assert ExtractionConfig(name).records == config.records
    (tmp_path / "other").mkdir()
    other = write_card(write_onnx(tmp_path / "other" / "chest.onnx", seed=1))
    assert ExtractionConfig(f"onnx:{other}").backbones != (name,)
    assert ExtractionConfig(name).records == config.records
    write_card(path, mean=[0, 0, 0])
    assert ExtractionConfig(f"onnx:{path}").backbones != (name,)


def test_a_file_with_its_weights_beside_it_is_known_by_both(tmp_path, pixels):
    data = tmp_path / "big.onnx.data"
    saving = {"save_as_external_data": True, "size_threshold": 100, "location": data.name}
    file = write_card(write_onnx(tmp_path / "big.onnx", **saving))
    digest = get_backbone(f"onnx:{file}").digest
    np.testing.assert_allclose(embed(file, pixels), reference(file, pixels), rtol=1e-4, atol=1e-5)
    content = bytearray(data.read_bytes())
    content[7] ^= 1
    data.write_bytes(content)
    assert get_backbone(f"onnx:{file}").digest != digest
    data.unlink()
    with pytest.raises(UsageError, match=rf"keeps weights in '{data.name}', which is not in its"):
        get_backbone(f"onnx:{file}")


def test_weights_outside_the_folder_are_refused(tmp_path):
    file = write_onnx(tmp_path / "climbs.onnx")
    model = onnx.load(file)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="../secret")
    file.write_bytes(model.SerializeToString())
    (tmp_path.parent / "secret").write_bytes(bytes(1152))
    with pytest.raises(UsageError, match=r"'\.\./secret', which is not in its folder"):
        get_backbone(f"onnx:{write_card(file)}")


def damaged(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged, r"cannot be read \(.*\)\. It is damaged"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: write_onnx(path, inputs=("a", "b")), r"2 inputs \(a, b\)"),
        (lambda path: write_onnx(path, number=TensorProto.UINT8), "of type uint8"),
        (lambda path: write_onnx(path, ("vector", "maps")), "lacks output.*one of vector, maps"),
        (lambda path: write_onnx(path, ("tokens",)), "lacks pooling, prefix_tokens"),
        (lambda path: write_onnx(path, shape=(8, 3, 16, 16)), r"shape \(8, 3, 16, 16\)"),
        (lambda path: write_card(path, size=32), "of 16 x 16 pixels, and its card .* 32 x 32"),
        (lambda path: write_card(path, layout="NHWC"), "the layout NHWC"),
        (lambda path: write_card(path, color="gray", mean=0, scale=1), r"takes 3 channel\(s\)"),
        (lambda path: write_card(path, mean=None, license=None), r"lacks mean, license\. For"),
        (lambda path: write_card(path, means=[0]), "no field of the card .* 'means'; did you mean"),
        (lambda path: write_card(path, scale=[0.2, 0, 0.2]), "has to be positive"),
        (lambda path: write_card(path, mean=[0.5, 0.5]), r"where 3 number\(s\) are needed"),
        (lambda path: write_card(path, range=[1, 0]), "do not increase"),
        (lambda path: write_card(path, mean=float("nan")), r"states mean nan, where 3 number"),
        (lambda path: write_card(path, color="grey"), "no color for the card .* did you mean"),
        (lambda path: write_card(path, license=" "), "states license ' ', where text is needed"),
        (
            lambda path: write_card(path, sha256="0" * 64),
            "its card states '0000.* copy the network",
        ),
        (lambda path: write_card(path, sha256=5), "its card states 5. It was damaged"),
        (lambda path: write_card(path, stages=5), "stages 5, where a list of texts is needed"),
        (lambda path: write_card(path, poolings="average"), "poolings 'average', where a list"),
        (lambda path: write_card(path, quantized_from=[]), "not as featx writes it"),
        (lambda path: write_card(path, quantized_from={"backbone": 1}), "not as featx writes it"),
        (lambda path: write_card(path, framing=5), "states the framing 5, which is none"),
        (lambda path: write_card(path, pooling="class"), "leave them out"),
        (lambda path: write_card(path, output="logits"), "no output of .* 'logits'"),
        (lambda path: write_card(path, framing="letterbox"), "no fit 'letterbox'"),
        (lambda path: path.with_suffix(".json").write_text("{"), "cannot be read"),
        (lambda path: path.with_suffix(".json").write_text("[]"), "is not a JSON object"),
        (lambda path: path.with_suffix(".json").unlink(), "lacks range, mean, scale, framing"),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
def test_what_is_missing_or_contradicts_the_file_is_named(path, change, message, capfd):
    get_backbone(f"onnx:{path}")
    change(path)
    with pytest.raises(UsageError, match=message):
        get_backbone(f"onnx:{path}")
    # The libraries' own lines are held back.
    assert capfd.readouterr().err == ""


def test_a_directory_and_an_unknown_prefix_are_named(tmp_path):
    with pytest.raises(UsageError, match="is a directory; name a file"):
        get_backbone(f"onnx:{tmp_path}")
    with pytest.raises(UsageError, match="no prefix of a backbone 'onx'; did you mean 'onnx'"):
        get_backbone("onx:chest.onnx")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.full((6, 3, 4, 4), np.nan), "not finite|same features"),
        (np.zeros((6, 3, 4, 4)), "gives different images the same features"),
    ],
)
def test_a_network_that_computes_nothing_is_refused(tmp_path, pixels, engine, weights, message):
    file = write_card(write_onnx(tmp_path / "broken.onnx", weights=weights))
    with pytest.raises(FeatxError, match=message):
        featx.extract(list(pixels.astype(np.uint8)), f"onnx:{file}", views=1, engine=engine)


def test_other_weights_and_engines_than_the_file_s_own_are_refused(path):
    for settings, message in (
        ({"weights": "random"}, "are those of its file, not random"),
        ({"engine": "keras"}, "does not allow engine 'keras'; choose auto or openvino or onnx"),
        ({"precision": "float16"}, "does not allow precision 'float16'; choose float32"),
        ({"pooling": "max"}, "does not allow pooling 'max'; choose average"),
    ):
        with pytest.raises(UsageError, match=message):
            ExtractionConfig(f"onnx:{path}", **settings)
    with pytest.raises(UsageError, match="does not allow engine 'onnxruntime'"):
        ExtractionConfig("vgg16", engine="onnxruntime")
    with pytest.raises(UsageError, match="can only be used frozen"):
        get_baseline(f"finetuned:onnx:{path}")


def test_extraction_agrees_with_the_makers_pipeline_on_the_file(tmp_path, generator):
    framing = {"fit": "shorter", "edge": 20, "filter": "bicubic"}
    file = write_card(write_onnx(tmp_path / "cropped.onnx"), framing=framing)
    image = generator.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "image.jpg", quality=95)
    with Image.open(tmp_path / "image.jpg") as picture:
        small = picture.convert("RGB").resize((28, 20), Image.Resampling.BICUBIC)
        # Half of 12 and of 4 pixels are cut off.
        expected = reference(file, np.asarray(small.crop((6, 2, 22, 18)), dtype=np.float32)[None])
    matrix = featx.extract([tmp_path / "image.jpg"], f"onnx:{file}", color="rgb", views=1)
    np.testing.assert_allclose(matrix.X, expected, rtol=1e-4, atol=1e-5)
    recipe = matrix.recipes[0]
    assert recipe["resize"] == {**framing, "center": "round", "rounded": True}
    assert recipe["origin"]["license"] == CARD["license"]
    assert str(tmp_path) not in str(recipe)


def test_onnx_needs_no_tensorflow(path, tmp_path):
    code = (
        "import sys, numpy, featx\n"
        f"featx.extract(numpy.eye(20, dtype='u1')[None], 'onnx:{path}', views=1)\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
