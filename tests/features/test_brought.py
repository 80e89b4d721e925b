"""Networks of users wherever a backbone's name is: extraction, models, tables, explanations."""

import pickle
import shutil
from importlib import metadata

import numpy as np
import pytest
from PIL import Image

import featx
from featx.backbones import opening
from featx.benchmarking.config import BenchmarkConfig
from featx.errors import FeatxError, UsageError
from featx.features.config import ExtractionConfig
from tests.backbones.onnx_networks import write_card, write_onnx
from tests.benchmarking.conftest import draw

FACTS = {"license": "CC0-1.0", "source": "made by a test"}


def quadrants(pixels):
    """Mean intensities of the four quarters."""
    n, side = len(pixels), pixels.shape[1] // 2
    return pixels.reshape(n, 2, side, 2, side, 3).mean(axis=(2, 4, 5)).reshape(n, 4)


def make(function=quadrants, name="quarters", version="1", size=32, **settings):
    return featx.Backbone.from_callable(
        function, name=name, version=version, size=size, **FACTS, **settings
    )


@pytest.fixture
def pixels(generator):
    return list(generator.integers(0, 256, (11, 32, 32), dtype=np.uint8))


def test_a_function_gives_its_own_values(pixels):
    matrix = featx.extract(pixels, make(), views=1)
    expected = quadrants(np.repeat(np.stack(pixels)[..., None], 3, axis=3).astype(np.float32))
    np.testing.assert_allclose(matrix.X, expected, rtol=1e-6)
    assert matrix.recipes[0]["backbone"] == "python:quarters"
    assert matrix.feature_names[0].startswith("python:quarters_")
    joined = featx.FeatureExtractor([make(), make(name="other")], views=1).fit_transform(pixels)
    assert (joined == np.hstack([matrix.X, matrix.X])).all()


def test_a_function_s_identity_is_its_name_and_version(pixels):
    first = featx.extract(pixels, make(), views=1)
    assert (
        (featx.extract(pixels, make(version="2"), views=1).recipes[0]["weights"])
        != (first.recipes[0]["weights"])
    )
    # A name alone means the function that this process made last, of another process none.
    assert ExtractionConfig("python:quarters").records[0].title == "quarters, version 2"
    with pytest.raises(UsageError, match=r"Backbone\.from_callable"):
        ExtractionConfig("python:thirds")
    # New rows of a changed function under the same version are refused.
    changed = make(lambda pixels: quadrants(pixels) + 5)
    with pytest.raises(FeatxError, match="gives other features"):
        featx.extract([image // 2 for image in pixels], changed, views=1)
    other = pickle.loads(pickle.dumps(make()))
    assert (featx.extract(pixels, other, views=1).X == first.X).all()


class Counting:
    """Rows as they should be, later fewer, wider, or of text."""

    def __init__(self, later):
        self.calls, self.later = 0, later

    def __call__(self, pixels):
        self.calls += 1
        found = quadrants(pixels)
        return found if self.calls == 1 else self.later(found)


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (
            lambda rows: rows[1:],
            r"shape \(7, 4\) .* has to return numbers of shape \(8, features\)",
        ),
        (lambda rows: rows[:, 0], "has to return numbers"),
        (lambda rows: rows.astype(str), "type <U"),
        (lambda rows: np.hstack([rows, rows]), r"gives \(8,\) features per image .* states 4"),
        (lambda rows: rows * np.nan, "not finite"),
        (lambda rows: rows * 0, "gives different images the same features"),
        (lambda rows: rows - rows.mean(axis=0), "other features each time, or beside other images"),
    ],
)
def test_wrong_results_of_a_function_are_refused(pixels, later, message):
    with pytest.raises(FeatxError, match=message):
        featx.extract(pixels, make(Counting(later), name="counting"), views=1)


def test_wrong_names_and_settings_of_a_function_are_refused():
    for settings, message in (
        ({"name": "a b"}, "name='a b'"),
        ({"version": " "}, "needs a name .* and a version"),
        ({"framing": {"fit": "shorter", "edge": 16, "filter": "box"}}, "edge of at least 32"),
    ):
        with pytest.raises(UsageError, match=message):
            make(**settings)
    for settings, message in (
        ({"precision": "float16"}, "does not allow precision 'float16'"),
        ({"engine": "openvino"}, "does not allow engine 'openvino'"),
        ({"weights": "random"}, "those of its file, not random"),
    ):
        with pytest.raises(UsageError, match=message):
            ExtractionConfig(make(), **settings)


def test_a_package_registers_a_network(pixels, monkeypatch):
    def entry(name, target):
        return metadata.EntryPoint(name, f"{__name__}:{target}", opening.ENTRY_POINTS)

    found = [entry("lung_net", "lung_net"), entry("no_net", "quadrants"), entry("odd", "odd")]
    monkeypatch.setattr(opening.metadata, "entry_points", lambda group: found)
    opening.entry_points.cache_clear()
    try:
        matrix = featx.extract(pixels, "lung_net", views=1)
        assert matrix.recipes[0]["backbone"] == "lung_net"
        assert matrix.X.shape == (11, 4)
        for name, message in (("no_net", "TypeError"), ("odd", "returned a int and has to")):
            with pytest.raises(FeatxError, match=message):
                ExtractionConfig(name)
        with pytest.raises(FeatxError, match=r"no installed package registers .* install its"):
            opening.reopen("gone", matrix.recipes[0]["weights"], [])
    finally:
        opening.entry_points.cache_clear()


def lung_net():
    return make(name="lungs")


def odd():
    return 3


@pytest.fixture
def path(tmp_path):
    return write_card(write_onnx(tmp_path / "chest.onnx", shape=("n", 3, "h", "w")), size=32)


def test_a_model_finds_its_network_by_digest(path, tmp_path, run_featx):
    images = draw(n=24)
    matrix = featx.extract(images, f"onnx:{path}@48", views=1)
    model = featx.fit(matrix, "naive_bayes", cv=2, n_jobs=1)
    file = tmp_path / "models" / "m.skops"
    model.save(file)
    expected = model.predict_images(matrix)
    # This process opened it, wherever it is.
    found = featx.predict(file, images, cache=tmp_path / "here")
    assert (found.probabilities == expected).all()
    card = path.with_suffix(".json")
    for each in (path, card):
        shutil.move(each, file.parent / each.name)
    fresh = {"cache": tmp_path / "fresh"}
    assert (featx.predict(file, images, **fresh).probabilities == expected).all()
    assert (featx.explain(file, images, tmp_path / "maps", limit=1, **fresh)) is not None
    # In another folder, and with another card.
    shutil.move(file.parent / path.name, path)
    with pytest.raises(FeatxError, match=r"chest\.onnx with SHA-256 .* is not in .*--weights-dir"):
        featx.predict(file, images, cache=tmp_path / "third")
    write_card(path, size=32, mean=[0, 0, 0])
    with pytest.raises(FeatxError, match="other weights or another card"):
        featx.predict(file, images, cache=tmp_path / "third", weights_dir=tmp_path)
    write_card(path, size=32)
    found = featx.predict(file, images, cache=tmp_path / "third", weights_dir=tmp_path)
    assert (found.probabilities == expected).all()


def test_a_table_and_a_card_name_license_and_origin(path, tmp_path):
    table = featx.benchmark(
        draw(n=60),
        [make(), f"onnx:{path}"],
        ["naive_bayes"],
        views=1,
        cv=2,
        learning_curve=False,
        out=tmp_path / "out",
    )
    rows = [row.backbone for row in table.rows]
    # Its weights cannot be replaced by random ones.
    controls = {row.backbone for row in table.rows if row.kind == "control"}
    assert "center removed" in controls and "random weights" not in controls
    assert rows[0] == "python:quarters"
    assert rows[1].startswith("onnx:chest-")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "source: made by a test; license: CC0-1.0" in page
    for name in ("python-quarters", "onnx-chest"):
        (card,) = (tmp_path / "out" / "models").glob(f"*{name.split('-')[1]}*.md")
        assert "(license: CC0-1.0; source: made by a test)" in card.read_text()
    recorded = [p for p in (tmp_path / "out").rglob("*") if p.suffix in (".json", ".md", ".html")]
    assert recorded
    assert not [
        p for p in recorded if str(path.parent) in p.read_text().replace(str(tmp_path / "out"), "")
    ]


def test_a_benchmark_takes_the_settings_of_its_networks(tmp_path):
    file = write_card(
        write_onnx(tmp_path / "t.onnx", ("tokens",)), pooling="tokens", prefix_tokens=0
    )
    settings = {"engine": "onnxruntime", "pooling": "class"}
    config = BenchmarkConfig().with_settings(backbones=f"onnx:{file}", **settings)
    assert config.extraction_of(config.backbones[0], 1).pooling == "class"
    (name,) = BenchmarkConfig(backbones=f"onnx:{file}@Float32").row_backbones
    assert name == config.backbones[0]
    with pytest.raises(UsageError, match="vgg16 does not allow engine 'onnxruntime'"):
        BenchmarkConfig().with_settings(backbones="vgg16", **settings)


def test_a_crop_is_explained_in_its_place(tmp_path):
    drawn = draw(n=40, signal=140)
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 24), dtype=np.uint8)
    wide = [
        np.hstack([noise[n], drawn.read(n), noise[n]]).astype(np.uint8) for n in range(len(drawn))
    ]
    images = featx.ImageDataset.from_arrays(wide, drawn.labels, patients=drawn.patients)
    network = make(name="squares", framing={"fit": "square", "filter": "bilinear"})
    model = featx.fit(featx.extract(images, network, views=1), "naive_bayes", cv=2, n_jobs=1)
    (found,) = featx.explain(model, images, tmp_path / "maps", limit=1).explanations
    seen = np.abs(found.map).max(axis=0)
    assert not seen[[0, 7]].any()
    assert seen[2:6].any()


def test_the_command_reads_colors(path, tmp_path, run_featx):
    Image.new("RGB", (40, 40), (255, 0, 0)).save(tmp_path / "red.png")
    rows = []
    for color in ("gray", "rgb"):
        out = tmp_path / f"{color}.h5"
        common = ("--views", 1, "--backbones", f"onnx:{path}", "--color", color)
        assert run_featx("extract", tmp_path, "--out", out, *common)[0] == 0
        rows.append(featx.FeatureMatrix.load(out))
    assert [matrix.recipes[0]["colour"] for matrix in rows] == ["grey", "rgb"]
    assert np.abs(rows[0].X - rows[1].X).max() > 0.01


def test_the_command_shows_a_network_s_card(path, run_featx):
    code, out, _ = run_featx("backbones", f"onnx:{path}")
    assert code == 0
    for text in ("onnx:chest-", "CC0-1.0", "made by a test", "squash", "openvino, onnxruntime"):
        assert text in out
    path.with_suffix(".json").unlink()
    code, _, err = run_featx("backbones", f"onnx:{path}")
    assert code == 2
    assert "lacks range, mean, scale" in err
