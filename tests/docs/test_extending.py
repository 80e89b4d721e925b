"""The diffs of "Add a backbone, a classifier or a baseline" apply and work."""

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from featx.classifiers import model_file as persistence
from featx.classifiers import registry as zoo
from featx.classifiers.classifier import FeatureClassifier
from featx.errors import FeatxError

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/howto/extend.md").read_text()


def patched(path):
    """Return a module as it is once the diff that the page shows for it is applied."""
    beginning = TEXT.index(f"`{path}`")
    diff = re.search(r"```diff\n(.*?)```", TEXT[beginning:], re.S)[1]
    lines = (ROOT / path).read_text().splitlines()
    for hunk in diff.split("@@\n"):
        marked = hunk.splitlines()
        kept = [line[1:] for line in marked if line.startswith(" ")]
        assert kept
        assert all(line[:1] in (" ", "+") for line in marked)
        places = [i for i in range(len(lines)) if lines[i : i + len(kept)] == kept]
        assert len(places) == 1, f"{kept} stands {len(places)} times in {path}"
        lines[places[0] : places[0] + len(kept)] = [line[1:] for line in marked]
    name = path.removesuffix(".py").replace("/", ".")
    # Dataclasses look their module up by name.
    importlib.import_module(name)
    module = ModuleType(name)
    exec(compile("\n".join(lines), path, "exec"), module.__dict__)
    return module


def test_the_backbone_is_one_of_the_list():
    module = patched("featx/backbones/registry.py")
    record = module.get_backbone("resnet152")
    assert record in module.list_backbones()
    (keras,) = importlib.util.find_spec("keras").submodule_search_locations
    source = Path(keras, "src", "applications", "resnet.py").read_text()
    hashes = re.search(r"\"resnet152\": \((.*?)\)", source, re.S)[1]
    assert record.weight_file.md5 == re.findall(r"\w{32}", hashes)[1]


def test_the_classifier_is_searched_saved_and_loaded(tmp_path, monkeypatch, generator):
    record = patched("featx/classifiers/registry.py").CLASSIFIERS["lda"]
    monkeypatch.setitem(zoo.CLASSIFIERS, "lda", record)
    y = np.repeat([0, 1], 30)
    X = (generator.normal(size=(60, 4)) + y[:, None]).astype(np.float32)
    model = FeatureClassifier("lda", cv=3).fit(X, y)
    assert model.best_params_["shrinkage"] in ("auto", 0.1, 0.5)
    assert model.score(X, y) > 0.7
    taught = patched("featx/classifiers/model_file.py")
    taught.save_model(model, tmp_path / "lda.skops")
    loaded = taught.load_model(tmp_path / "lda.skops")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with pytest.raises(FeatxError, match="LinearDiscriminantAnalysis"):
        persistence.load_model(tmp_path / "lda.skops")


def test_the_baseline_is_one_of_the_list():
    (recipe,) = [
        recipe
        for recipe in patched("featx/baselines/registry.py").RECIPES
        if recipe.name == "mathur-cnn-100"
    ]
    assert recipe.size == (100, 100)
    assert recipe.minimum_size <= 100
