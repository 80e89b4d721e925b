from dataclasses import replace

import h5py
import numpy as np
import pytest

from featx.errors import FeatxError, UsageError
from featx.features.matrix import FeatureMatrix
from featx.features.matrix_checksums import MARK


def make_matrix(n_images=5, views=3, n_features=4, backbone="vgg16", names=None):
    generator = np.random.default_rng(1)
    return FeatureMatrix(
        X=generator.random((n_images * views, n_features), dtype=np.float32),
        image=np.repeat(np.arange(n_images), views),
        view=np.tile(np.arange(views), n_images),
        names=tuple(names or (f"a/{number} ä\udcff.png" for number in range(n_images))),
        digests=tuple(f"{number:064x}" for number in range(n_images)),
        labels=np.arange(n_images) % 2,
        patients=np.array([f"p{number // 2}" for number in range(n_images)]),
        splits=np.array(["train"] * n_images),
        class_names=("NORMAL", "PNEUMONIA"),
        recipes=({"backbone": backbone, "size": [4, 4]},),
        unreadable=(("broken.png", "the file is empty"),),
        seconds=1.5,
    )


def remove_checksums(path):
    """Make a file as earlier versions wrote it."""
    content, _, _ = path.read_bytes().partition(b'{"block"')
    path.write_bytes(content.replace(MARK.encode(), b"x" * len(MARK)))


def test_a_saved_matrix_comes_back(tmp_path):
    matrix = make_matrix()
    matrix.save(tmp_path / "new" / "folder" / "m.h5")
    again = FeatureMatrix.load(tmp_path / "new" / "folder" / "m.h5")
    np.testing.assert_array_equal(again.X, matrix.X)
    for name in ("names", "digests", "class_names", "recipes", "unreadable"):
        assert getattr(again, name) == getattr(matrix, name)
    for name in ("image", "view", "labels", "patients", "splits"):
        np.testing.assert_array_equal(getattr(again, name), getattr(matrix, name))


def test_the_same_matrix_gives_the_same_bytes_whatever_it_cost(tmp_path):
    make_matrix().save(tmp_path / "a.h5")
    replace(make_matrix(), seconds=77.0).save(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_the_file_is_readable_with_h5py_alone(tmp_path):
    make_matrix().save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["features"].shape == (15, 4)
        assert file["features"].dtype == np.float32
        assert sorted(file["rows"]) == ["image", "view"]
        assert sorted(file["images"]) == ["label", "path", "patient", "sha256", "split"]
        assert file.attrs["featx_format"] == 1
        assert '"backbone": "vgg16"' in file.attrs["recipe"]
        assert list(file.attrs["class_names"]) == ["NORMAL", "PNEUMONIA"]
        assert "numpy" in file.attrs["versions"]


def test_select_images_keeps_all_their_views():
    matrix = make_matrix()
    chosen = matrix.select_images([3, 1])
    assert chosen.names == (matrix.names[3], matrix.names[1])
    np.testing.assert_array_equal(chosen.X, matrix.X[[9, 10, 11, 3, 4, 5]])
    np.testing.assert_array_equal(chosen.image, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(chosen.row_labels, [1] * 6)
    assert chosen.row_patients.tolist() == ["p1"] * 3 + ["p0"] * 3
    with pytest.raises(UsageError, match="once"):
        matrix.select_images([1, 1])


def test_users_see_class_names_in_y_frames_and_notebooks():
    pytest.importorskip("pandas")
    matrix = make_matrix(n_images=2, views=2, names=("a.png", "<b>.png"))
    matrix = replace(matrix, class_names=("A", "<B>"), labels=np.array([1, -1]))
    assert matrix.y.tolist() == ["<B>", "<B>", "", ""]
    frame = matrix.to_frame()
    assert frame.columns.tolist()[:5] == ["image", "view", "label", "patient", "split"]
    assert frame.columns.tolist()[5:] == matrix.feature_names
    assert frame["image"].tolist() == ["a.png", "a.png", "<b>.png", "<b>.png"]
    assert frame["label"].tolist() == matrix.y.tolist()
    np.testing.assert_array_equal(frame.iloc[:, 5:].to_numpy(), matrix.X)
    np.testing.assert_array_equal(matrix.lazily().to_numpy(), matrix.X)
    html = matrix._repr_html_()
    assert "<th>class A</th><td>0</td>" in html
    assert "<th>class &lt;B&gt;</th><td>1</td>" in html


def test_select_views():
    matrix = make_matrix()
    np.testing.assert_array_equal(matrix.select_views(1).X, matrix.X[::3])
    with pytest.raises(UsageError, match="at least 1"):
        matrix.select_views(0)


def test_join_sets_features_side_by_side():
    one, other = make_matrix(), make_matrix(n_features=2, backbone="xception")
    joined = FeatureMatrix.join([one, other])
    np.testing.assert_array_equal(joined.X, np.hstack([one.X, other.X]))
    assert [recipe["backbone"] for recipe in joined.recipes] == ["vgg16", "xception"]
    assert joined.seconds == 3.0


def hostile(path, how):
    make_matrix().save(path)
    secret = path.with_name("secret.h5")
    with h5py.File(secret, "w") as file:
        file["features"] = np.ones((15, 4), np.float32)
    with h5py.File(path, "a") as file:
        if how == "absurd":
            del file["features"]
            file.create_dataset("features", (2**40, 2**10), np.float32, chunks=(1024, 1024))
        elif how == "absurd table":
            del file["rows/view"]
            file.create_dataset("rows/view", (2**50,), np.int64, chunks=(1024,))
        elif how == "external link":
            del file["features"]
            file["features"] = h5py.ExternalLink(str(secret), "features")
        elif how == "external folder":
            del file["images"]
            file["images"] = h5py.ExternalLink(str(secret), "/")
        elif how == "soft link":
            del file["features"]
            file["features"] = h5py.SoftLink("/rows/view")
        elif how == "virtual":
            del file["features"]
            layout = h5py.VirtualLayout((15, 4), np.float32)
            layout[:] = h5py.VirtualSource(str(secret), "features", (15, 4))
            file.create_virtual_dataset("features", layout)
        elif how == "external storage":
            del file["features"]
            storage = [(str(secret), 0, 15 * 4 * 4)]
            file.create_dataset("features", (15, 4), np.float32, external=storage)
        elif how == "row of no image":
            file["rows/image"][0] = 99
        elif how == "label of no class":
            file["images/label"][0] = 7
        elif how == "short":
            del file["images/split"]
            file["images/split"] = ["train"]
    # Whoever makes such a file can make checksums that match.
    remove_checksums(path)


HOSTILE = ["absurd", "absurd table", "external link", "external folder", "soft link", "virtual"]
HOSTILE += ["external storage", "row of no image", "label of no class", "short"]


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_files_are_refused(tmp_path, how):
    hostile(tmp_path / "m.h5", how)
    with pytest.raises(FeatxError, match="cannot be read as a feature matrix"):
        FeatureMatrix.load(tmp_path / "m.h5")


def test_features_kept_in_the_header_are_read(tmp_path):
    make_matrix().save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        values = file["features"][:]
        del file["features"]
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(values.shape)
        dataset = h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, layout)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
    remove_checksums(tmp_path / "m.h5")
    np.testing.assert_array_equal(FeatureMatrix.load(tmp_path / "m.h5").X, values)


def test_what_is_no_matrix_says_so(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        FeatureMatrix.load(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(FeatxError, match="cannot be read as a feature matrix"):
        FeatureMatrix.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(FeatxError, match="featx_format None"):
        FeatureMatrix.load(tmp_path / "other.h5")
    make_matrix().save(tmp_path / "m.h5")
    content = (tmp_path / "m.h5").read_bytes()
    (tmp_path / "m.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(FeatxError, match="cannot be read as a feature matrix"):
        FeatureMatrix.load(tmp_path / "m.h5")


def test_names_that_are_no_unicode_reach_a_data_frame():
    pytest.importorskip("pandas")
    matrix = make_matrix(n_images=4, views=2)
    odd = replace(matrix, names=tuple(f"{name}\udcff" for name in matrix.names))
    assert odd.to_frame()["image"].tolist() == [odd.names[i] for i in odd.image]
