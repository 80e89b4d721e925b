import shutil
import subprocess
import sys
from collections import Counter

import keras
import numpy as np
import pytest
from PIL import Image

import featx
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UsageError
from featx.features import pipeline
from featx.features.cache import file_hashes as hashing
from featx.features.config import ExtractionConfig
from featx.features.extraction import extract_by_recipes
from featx.features.matrix import FeatureMatrix
from featx.features.pipeline import embedders_of
from featx.images import sources
from featx.images.augmentation import POLICIES, Augmentation, make_view
from tests.features.worker import QuickEngine


@pytest.fixture
def count_embedded(use_engine):
    """Number of rows that an engine computed, without the six of each drift check."""
    rows = []

    class Counting(QuickEngine):
        def embed(self, pixels):
            rows.append(len(pixels))
            return super().embed(pixels)

    use_engine(lambda embedder: Counting(embedder.backbone.features))
    return lambda: sum(rows) - 6


def test_features_are_those_of_keras_on_the_same_pixels(images, tmp_path):
    network = keras.applications.MobileNetV2(
        include_top=False, weights=None, pooling="avg", input_shape=(64, 64, 3)
    )
    base = keras.Model(network.input, network.layers[-2].output)
    base.save_weights(tmp_path / "weights.weights.h5")
    chosen = images.select([0, 5, 20])
    matrix = featx.extract(
        chosen, "mobilenetv2@64", views=2, weights=tmp_path / "weights.weights.h5"
    )
    pixels = np.stack(
        [
            make_view(chosen.read(i), chosen.digest(i), view, (64, 64), POLICIES["radiograph"])
            for i in range(3)
            for view in range(2)
        ]
    )
    inputs = keras.applications.mobilenet_v2.preprocess_input(
        np.repeat(pixels[..., np.newaxis], 3, axis=3)
    )
    expected = network.predict(inputs, verbose=0)
    np.testing.assert_allclose(matrix.X, expected, atol=1e-4 * np.abs(expected).max())


def test_rows_have_their_image_view_and_patient(images):
    matrix = featx.extract(images, views=2)
    assert matrix.X.shape == (48, 1280)
    assert matrix.X.dtype == np.float32
    assert matrix.names == images.names
    np.testing.assert_array_equal(matrix.image, np.repeat(np.arange(24), 2))
    np.testing.assert_array_equal(matrix.view, np.tile([0, 1], 24))
    np.testing.assert_array_equal(matrix.patients, images.patients)
    assert matrix.recipes[0]["backbone"] == "efficientnet_lite0"
    assert len(np.unique(matrix.X, axis=0)) == 48


def test_the_cache_answers_the_second_time(images, count_embedded, caplog):
    first = featx.extract(images, views=2)
    assert count_embedded() == 48
    again = featx.extract(images, views=2)
    assert count_embedded() == 48
    np.testing.assert_array_equal(first.X, again.X)
    assert again.seconds == pytest.approx(first.seconds)
    more = featx.extract(images, views=3)
    assert count_embedded() == 72
    np.testing.assert_array_equal(more.select_views(2).X, first.X)


def test_a_renamed_folder_costs_nothing_and_a_new_image_one(image_folder, count_embedded):
    featx.extract(ImageDataset.open(image_folder, r"(p\d+)_"), views=1)
    moved = image_folder.with_name("moved")
    image_folder.rename(moved)
    featx.extract(ImageDataset.open(moved, r"(p\d+)_"), views=1)
    assert count_embedded() == 24
    pixels = np.asarray(np.arange(48 * 40).reshape(40, 48) % 251, dtype=np.uint8)
    Image.fromarray(pixels).save(moved / "NORMAL" / "p00_9.png")
    featx.extract(ImageDataset.open(moved, r"(p\d+)_"), views=1)
    assert count_embedded() == 25


def test_order_other_images_and_duplicates_do_not_matter(images, tmp_path):
    order = np.random.default_rng(2).permutation(24)
    straight = featx.extract(images, views=2, cache=tmp_path / "a")
    shuffled = featx.extract(images.select(order), views=2, cache=tmp_path / "b")
    np.testing.assert_array_equal(shuffled.X, straight.select_images(order).X)
    alone = featx.extract(images.select([7]), views=2, cache=tmp_path / "c")
    np.testing.assert_array_equal(alone.X, straight.select_images([7]).X)
    twice = featx.extract(images.select([7, 3, 7]), views=2, cache=tmp_path / "d")
    np.testing.assert_array_equal(twice.X[:2], twice.X[4:])


def count_reads(monkeypatch):
    """Return a list that grows with the bytes of each decoded image."""
    reads, read = [], sources.read_image
    monkeypatch.setattr(
        sources, "read_image", lambda content, color: reads.append(content) or read(content, color)
    )
    return reads


def test_several_backbones_read_each_image_once(images, tmp_path, quick, monkeypatch):
    names = ["efficientnet_lite0", "mobilenetv2", "inceptionv3"]
    settings = {"views": 3, "weights": "random"}
    # One of them has rows already: only the others' are made.
    featx.extract(images.select(range(5)), names[0], cache=tmp_path / "one", **settings)
    reads, views = count_reads(monkeypatch), []
    make = pipeline.make_view
    monkeypatch.setattr(
        pipeline, "make_view", lambda *arguments: views.append(arguments[2:4]) or make(*arguments)
    )
    together = featx.extract(images, names, cache=tmp_path / "one", **settings)
    assert len(reads) == len(set(reads)) == 24
    # Two of the networks see 224 pixels, and share the view.
    sizes = [(224, 224), (299, 299)]
    assert Counter(views) == {(view, size): 24 for view in range(3) for size in sizes}
    apart = [featx.extract(images, name, cache=tmp_path / name, **settings) for name in names]
    np.testing.assert_array_equal(together.X, FeatureMatrix.join(apart).X)
    monkeypatch.setattr(sources, "read_image", None)
    for name, alone in zip(names, apart, strict=True):
        again = featx.extract(images, name, cache=tmp_path / "one", **settings)
        np.testing.assert_array_equal(again.X, alone.X)


def test_undecodable_images_are_left_out_for_every_backbone_and_copy(images, image_folder, quick):
    names = spoil(image_folder)
    shutil.copy(image_folder / "NORMAL" / "p00_1.png", image_folder / "NORMAL" / "p01_0.png")
    matrix = featx.extract(images, ["efficientnet_lite0", "mobilenetv2"], views=2, weights="random")
    assert {name for name, _ in matrix.unreadable} == names | {"NORMAL/p01_0.png"}
    assert matrix.X.shape == (42, 2560)


def test_a_part_damaged_after_indexing_is_computed_again(images, tmp_path, quick, caplog):
    first = featx.extract(images, views=2, cache=tmp_path / "c", out=tmp_path / "first.h5")
    featx.extract(images, views=2, cache=tmp_path / "c")
    (part,) = tmp_path.glob("c/*/part-*.h5")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 255
    part.write_bytes(content)
    again = featx.extract(images, views=2, cache=tmp_path / "c", out=tmp_path / "again.h5")
    np.testing.assert_array_equal(first.X, again.X)
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()
    assert "damaged" in caplog.text


def test_a_file_whose_change_left_no_trace_never_spoils_the_cache(images, quick, monkeypatch):
    monkeypatch.setattr(hashing, "GRANULARITY_SECONDS", -1.0)
    featx.extract(images, views=1)
    states = {path: hashing._state(path) for path in images.sources}
    monkeypatch.setattr(hashing, "_state", lambda source: states[source])
    shutil.copy(images.sources[3], images.sources[2])
    # Cached rows are returned; rows of other bytes are not stored under the old digest.
    featx.extract(images, views=1)
    with pytest.raises(FeatxError, match=r"p01_0.png has other bytes .* --rehash"):
        featx.extract(images, views=2)
    matrix = featx.extract(images, views=2, rehash=True)
    assert matrix.digests[2] == matrix.digests[3]


def test_rows_written_straight_to_a_file_are_the_same(images, tmp_path):
    names = ["efficientnet_lite0", "mobilenetv2"]
    matrix = featx.extract(images, names, views=2, weights="random")
    matrix.save(tmp_path / "saved.h5")
    mapped = featx.extract(images, names, views=2, weights="random", out=tmp_path / "straight.h5")
    assert isinstance(mapped.X, np.memmap)
    np.testing.assert_array_equal(mapped.X, matrix.X)
    assert (tmp_path / "straight.h5").read_bytes() == (tmp_path / "saved.h5").read_bytes()


def spoil(folder):
    (folder / "NORMAL" / "p00_0.png").write_bytes(b"")
    (folder / "NORMAL" / "p00_1.png").write_bytes(b"no picture")
    return {"NORMAL/p00_0.png", "NORMAL/p00_1.png"}


def test_unreadable_images_are_named_and_left_out(images, image_folder):
    names = spoil(image_folder)
    for _ in range(2):
        matrix = featx.extract(images, views=2)
        assert {name for name, _ in matrix.unreadable} == names
        assert "empty" in dict(matrix.unreadable)["NORMAL/p00_0.png"]
        assert matrix.n_images == 22
        assert not names & set(matrix.names)
        assert (np.abs(matrix.X).sum(axis=1) > 0).all()
    with pytest.raises(FeatxError, match=r"NORMAL/p00_0.png is unreadable: the file is empty"):
        featx.extract(images, views=1, strict=True)
    with pytest.raises(FeatxError, match="none of the 2 images"):
        featx.extract(images.select([0, 1]), views=1)
    (image_folder / "NORMAL" / "p00_0.png").unlink()
    assert "No such file" in dict(featx.extract(images, views=1).unreadable)["NORMAL/p00_0.png"]


def test_a_model_s_recipes_give_the_same_features_and_read_each_image_once(
    images, tmp_path, quick, monkeypatch
):
    policy = Augmentation(rotation=5, contrast=(0.9, 1.1))
    settings = {"views": 2, "weights": "random", "augmentation": policy}
    names = ["efficientnet_lite0", "mobilenetv2@96"]
    joined = FeatureMatrix.join(
        [
            featx.extract(images, names, **settings),
            featx.extract(images, names[0], pooling="gem", **settings),
            featx.extract(images, names[0], pooling="max", **settings),
        ]
    )
    reads = count_reads(monkeypatch)
    again = extract_by_recipes(images, joined.recipes, views=2, cache=tmp_path / "empty")
    # Once for two backbones, once for each other way of drawing or pooling.
    assert set(Counter(reads).values()) == {3}
    assert len(reads) == 3 * 24
    assert again.recipes == joined.recipes
    np.testing.assert_array_equal(again.X, joined.X)
    other = {**joined.recipes[0], "backbone": "vgg16", "weights": "0" * 64}
    with pytest.raises(UsageError, match="trained on features of vgg16 with weights 0"):
        extract_by_recipes(images, [other], views=1, weights=images.sources[0])


def test_random_weights_are_named_in_progress():
    titles = [
        embedders_of(ExtractionConfig("efficientnet_lite0", weights=weights))[0].title
        for weights in ("imagenet", "random")
    ]
    assert titles == ["efficientnet_lite0", "efficientnet_lite0 with random weights"]


def test_an_image_given_twice_is_refused_before_a_matrix_is_written(image_folder, tmp_path, quick):
    path = str(next(image_folder.rglob("*.png")))
    with pytest.raises(UsageError, match=r"1 of the images repeat the path of another, and .*m.h5"):
        featx.extract([path, path], views=1, cache=tmp_path, out=tmp_path / "m.h5")
    assert not list(tmp_path.glob("*/part-*"))
    assert len(featx.extract([path, path], views=1, cache=tmp_path).X) == 2


QUICK_COMMAND = """
from featx.cli import main
from featx.features.pipeline import ENGINES
from tests.features.worker import quick_engine
ENGINES.factory = quick_engine
main()
"""


def test_parts_in_own_processes_give_the_same_matrix(image_folder, tmp_path, quick):
    """As a Slurm array or GNU parallel runs them: N processes, then one that assembles."""
    options = ["--patients", r"(p\d+)_", "--weights", "random", "--views", "2"]
    command = [sys.executable, "-c", QUICK_COMMAND, "extract", str(image_folder), *options]
    command += ["--cache", str(tmp_path / "shared")]
    parts = [subprocess.Popen([*command, "--part", f"{number}/3"]) for number in (1, 2, 3)]
    assert [part.wait() for part in parts] == [0, 0, 0]
    cached = set(tmp_path.glob("shared/*/part-*.h5"))
    subprocess.run([*command, "--out", str(tmp_path / "whole.h5")], check=True)
    assert set(tmp_path.glob("shared/*/part-*.h5")) == cached
    images = featx.ImageDataset.open(image_folder, r"(p\d+)_")
    alone = featx.extract(images, views=2, weights="random", cache=tmp_path / "alone")
    np.testing.assert_array_equal(FeatureMatrix.load(tmp_path / "whole.h5").X, alone.X)
    done = subprocess.run([*command, "--part", "4/3"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "write 2/8 for the second of eight parts" in done.stderr
