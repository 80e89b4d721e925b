import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler

import featx
from featx.audit.label_issues import find_label_issues
from featx.cli import main
from featx.datasets.dataset import ImageDataset
from featx.errors import MissingExtraError, UsageError
from featx.features.matrix import FeatureMatrix

N_IMAGES = 120


def make_matrix(views=1, **changes):
    generator = np.random.default_rng(3)
    labels = np.arange(N_IMAGES) % 2
    image = np.repeat(np.arange(N_IMAGES), views)
    X = generator.normal(size=(len(image), 12)) + 2.5 * labels[image, None]
    matrix = FeatureMatrix(
        X=X.astype(np.float32),
        image=image,
        view=np.tile(np.arange(views), N_IMAGES),
        names=tuple(f"train/{label}/{number}.png" for number, label in enumerate(labels)),
        digests=tuple(f"{number:064x}" for number in range(N_IMAGES)),
        labels=labels,
        patients=np.array([f"p{number // 2}" for number in range(N_IMAGES)]),
        splits=np.array(["train", "test"])[np.arange(N_IMAGES) // 100],
        class_names=("NORMAL", "PNEUMONIA"),
        recipes=({"backbone": "vgg16"},),
    )
    return replace(matrix, **changes)


@pytest.fixture(scope="module")
def wrong():
    """Ten images with wrong labels, some of them in the test split."""
    return np.random.default_rng(5).choice(N_IMAGES, 10, replace=False)


@pytest.fixture(scope="module")
def found(wrong):
    matrix = make_matrix(views=2)
    labels = matrix.labels.copy()
    labels[wrong] = 1 - labels[wrong]
    return featx.explore(replace(matrix, labels=labels), neighbors=5, n_jobs=1)


def test_planted_wrong_labels_are_the_first_issues(found, wrong):
    first = [issue.image for issue in found.label_issues[:10]]
    assert len(set(first) & set(wrong.tolist())) >= 9
    issue = found.label_issues[0]
    assert {issue.label, issue.predicted} == {"NORMAL", "PNEUMONIA"}
    assert issue.probability == found.probabilities[issue.image, found.matrix.labels[issue.image]]


def test_neighbors_and_map_are_those_of_standardized_means(found):
    means = make_matrix(views=2).X.reshape(N_IMAGES, 2, -1).mean(axis=1, dtype=np.float64)
    scaled = StandardScaler().fit_transform(means)
    distances = pairwise_distances(scaled)
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1)[:, :5]
    np.testing.assert_array_equal(found.neighbors, expected)
    nearest = np.take_along_axis(distances, expected, axis=1)
    np.testing.assert_allclose(found.distances, nearest, rtol=1e-6)
    _, values, directions = np.linalg.svd(scaled, full_matrices=False)
    np.testing.assert_allclose(found.explained, values[:2] ** 2 / (values**2).sum(), rtol=1e-3)
    along = scaled @ directions[:2].T
    for axis in range(2):
        assert abs(np.corrcoef(found.coordinates[:, axis], along[:, axis])[0, 1]) > 0.999


def test_confidence_is_compared_with_the_mean_of_each_class():
    # Class 1 is hard: its images reach 0.6 on average, so that 0.62 is confident.
    probabilities = np.array([[0.95, 0.05], [0.38, 0.62], [0.97, 0.03], [0.4, 0.6], [0.4, 0.6]])
    assert find_label_issues(probabilities, np.array([0, 0, 0, 1, 1])) == [(1, 1)]
    # Of three classes the likeliest of those counts.
    probabilities = np.array([[0.0, 0.4, 0.6], [0.8, 0.2, 0.0], [0.2, 0.4, 0.4], [0.1, 0.4, 0.5]])
    assert find_label_issues(probabilities, np.array([0, 0, 1, 2])) == [(0, 2)]


def test_without_labels_of_two_classes_there_are_no_issues():
    found = featx.explore(make_matrix(labels=np.full(N_IMAGES, -1)))
    assert found.label_issues == () and np.isnan(found.probabilities).all()
    assert any("two classes" in note for note in found.notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "tsne"}, "pca, umap"),
        ({"classifier": "svn"}, "no classifier 'svn'"),
        ({"neighbors": 0}, "at least 1"),
    ],
)
def test_wrong_arguments_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        featx.explore(make_matrix(), **settings)
    with pytest.raises(UsageError, match="three images"):
        featx.explore(make_matrix().select_images([0, 1]))


def test_umap_is_an_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"featx\[umap\]"):
        featx.explore(make_matrix(), method="umap")


def test_leaks_across_the_test_split_are_named(tmp_path, run_featx):
    matrix = make_matrix()
    assert featx.explore(matrix, n_jobs=1).findings == ()
    digests, patients = list(matrix.digests), matrix.patients.copy()
    digests[110], patients[105] = digests[3], "p7"
    leaking = replace(matrix, digests=tuple(digests), patients=patients)
    found = featx.explore(leaking, n_jobs=1)
    kinds = [(each.kind, each.count, each.severity) for each in found.findings]
    assert kinds == [("exact-duplicates-across", 1, "leak"), ("patients-across", 1, "leak")]
    leaking.save(tmp_path / "m.h5")
    code, text, _ = run_featx("explore", tmp_path / "m.h5", "--out", tmp_path / "e.html")
    assert code == 0 and text.startswith("LEAK: 1 pair of pixel-identical images is in both")
    assert "LEAK: 1 patient has images in both" in (tmp_path / "e.html").read_text()
    nameless = replace(leaking, patients=np.array(matrix.names), patients_known=False)
    assert len(featx.explore(nameless, n_jobs=1).findings) == 1


def test_duplicates_without_images():
    matrix = make_matrix()
    X = matrix.X.copy()
    X[9] = X[4]
    digests = (*matrix.digests[:7], matrix.digests[3], *matrix.digests[8:])
    found = featx.explore(replace(matrix, X=X, digests=digests))
    kinds = {(pair.first, pair.second): pair.kind for pair in found.duplicates}
    assert kinds == {(3, 7): "same file", (4, 9): "same features"}
    assert found.thumbnails is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, an exact and a near duplicate of one, and their matrix."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(8)
    for number in range(24):
        label = ("NORMAL", "PNEUMONIA")[number % 2]
        coarse = Image.fromarray(generator.integers(0, 256, (12, 10), dtype=np.uint8))
        picture = coarse.resize((80, 96), Image.Resampling.BICUBIC)
        (folder / label).mkdir(exist_ok=True)
        picture.save(folder / label / f"{number:02}.png")
        if number == 0:
            picture.save(folder / "NORMAL" / "copy.png", compress_level=1)
            picture.resize((160, 192)).save(folder / "NORMAL" / "larger.jpeg", quality=70)
    images = ImageDataset.open(folder)
    n = len(images)
    matrix = FeatureMatrix(
        X=np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32),
        image=np.arange(n),
        view=np.zeros(n, dtype=int),
        names=images.names,
        digests=tuple(images.digest(index) for index in range(n)),
        labels=images.labels,
        patients=images.patients,
        splits=images.splits,
        class_names=images.class_names,
    )
    return folder, images, matrix


def test_images_give_thumbnails_and_duplicates(folder):
    _, images, matrix = folder
    # Another order, and one image fewer than in the matrix.
    shuffled = images.select(np.arange(len(images))[::-1][1:])
    found = featx.explore(matrix, shuffled)
    kinds = {
        frozenset({matrix.names[pair.first], matrix.names[pair.second]}): pair.kind
        for pair in found.duplicates
    }
    original = frozenset({"NORMAL/00.png", "NORMAL/copy.png"})
    assert kinds.pop(original) == "same pixels"
    ((near, kind),) = kinds.items()
    assert (kind, near - original) == ("near duplicate", {"NORMAL/larger.jpeg"})
    assert any("1 of 26 images" in note for note in found.notes)
    assert not found.thumbnails[-1].any()
    picture = np.asarray(images.read(5), dtype=float)
    shrunk = np.asarray(Image.fromarray(picture).resize((47, 56), Image.Resampling.BOX))
    own = found.thumbnails[5][:, 4:51].astype(float)
    assert np.corrcoef(own.ravel(), shrunk.ravel())[0, 1] > 0.99


def test_other_images_are_refused(folder):
    _, images, _ = folder
    with pytest.raises(UsageError, match="none of the 26 images"):
        featx.explore(make_matrix(), images)


def test_the_command(folder, tmp_path, capsys):
    root, _, matrix = folder
    matrix.save(tmp_path / "features.h5")
    page = tmp_path / "page.html"
    words = ["explore", str(tmp_path / "features.h5"), "--images", str(root), "--out", str(page)]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--quiet", "--json"])
    assert ended.value.code == 0
    content = json.loads(capsys.readouterr().out)
    assert content["images"] == 26 and len(content["duplicates"]) == 2
    assert page.read_text().count("data:image/jpeg;base64,") == 1
