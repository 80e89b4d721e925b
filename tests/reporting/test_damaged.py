"""Damaged and edited results are explained, whatever is wrong with them."""

from __future__ import annotations

import itertools
import json

import pytest

from featx.errors import FeatxError
from featx.reporting.compare import compare
from featx.reporting.page import report


def places(content, *path):
    """List the paths of all values, of each kind of entry in a list the first only."""
    if path:
        yield path
    if isinstance(content, dict):
        for key, value in content.items():
            yield from places(value, *path, key)
    elif isinstance(content, list) and content:
        yield from places(content[0], *path, 0)


@pytest.mark.parametrize("name", ["results.json", "run.json", "gallery/gallery.json"])
def test_values_of_wrong_types_are_explained_or_not_read(folder, name):
    root = folder.write()
    text = (root / name).read_text()
    refused = 0
    wrong = itertools.cycle([None, "x", -7, [], {"a": 1}])
    for (*parents, last), value in zip(places(json.loads(text)), wrong, strict=False):
        content = part = json.loads(text)
        for key in parents:
            part = part[key]
        part[last] = value
        (root / name).write_text(json.dumps(content))
        try:
            report(root)
            compare(root, root)
        except FeatxError:
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("results.json", lambda text: text[: len(text) // 2]),
        ("results.json", lambda text: text.replace('"kind":', '"sort":')),
        ("run.json", lambda _: "[1, 2]"),
        ("run.json", lambda _: "[" * 100_000),
        ("gallery/gallery.json", lambda _: '{"pictures": [1]}'),
        ("scores/resnet50-svm.csv", lambda text: text.replace("0.", "x.")),
        ("scores/resnet50-svm.csv", lambda text: text.replace(",", ";")),
        ("baselines/ramirez-cnn-trained-end-to-end/log.csv", lambda _: "epoch,loss\n1,x\n"),
    ],
)
def test_the_message_names_the_file(folder, file, change):
    path = folder.write() / file
    path.write_text(change(path.read_text()))
    with pytest.raises(FeatxError, match=path.name):
        report(folder.root)


def test_a_name_reads_nothing_outside_the_folder(folder, tmp_path):
    folder.rows[0]["name"] = "../../outside"
    (tmp_path / "outside.csv").write_text("not a table of scores")
    report(folder.write())
