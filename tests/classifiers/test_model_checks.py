"""Tampered models are refused, or predict finite numbers; they never crash the interpreter."""

import io
import random
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from featx.classifiers.model_file import load_model
from featx.classifiers.registry import CLASSIFIERS
from featx.errors import FeatxError
from tests.classifiers.makers import make_matrix
from tests.classifiers.test_model_file import rewrite

# A number in a schema, which holds texts of JSON.
NUMBER = re.compile(r'"content": "(-?[\d.]+(?:e-?\d+)?)"')


def changed(values, draw):
    """Return an array with another value, shape, length or kind."""
    flat = values.copy().reshape(-1)
    match draw.randrange(7):
        case 0 if flat.dtype.names:
            name = draw.choice(flat.dtype.names)
            flat[name][draw.randrange(len(flat))] = draw.choice([10**6, -7, 0])
        case 0 | 1 if len(flat) and flat.dtype.kind == "f":
            flat[draw.randrange(len(flat))] = draw.choice(
                [np.nan, np.inf, np.finfo(flat.dtype).min]
            )
        case 2 if len(flat) and flat.dtype.kind in "iu":
            flat[draw.randrange(len(flat))] = draw.choice([100, 0, np.iinfo(flat.dtype).max])
        case 3:
            return flat[: len(flat) // 2]
        case 4:
            return np.concatenate([flat, flat])
        case 5:
            return values.T[..., None]
        case _:
            flat.view(np.uint8)[: draw.randrange(1 + flat.nbytes)] = 255
    return flat.reshape(values.shape)


def tamper(path, draw):
    with zipfile.ZipFile(path) as archive:
        schema = archive.read("schema.json").decode()
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        name = draw.choice(names)
        values = np.load(io.BytesIO(archive.read(name)))
    if draw.random() < 0.3:
        found = draw.choice(list(NUMBER.finditer(schema)))
        value = draw.choice(["999999999", "-1", "0", "NaN", "true", "null"])
        schema = schema[: found.start(1)] + value + schema[found.end(1) :]
        rewrite(path, **{"schema.json": schema.encode()})
        return
    stream = io.BytesIO()
    np.save(stream, changed(values, draw))
    rewrite(path, **{name: stream.getvalue()})


def main(path, tries):
    """Load and use tampered copies of a model; of a path, because a crash takes the process."""
    with open(path, "rb") as file:  # noqa: PTH123
        whole = file.read()
    refused, draw = 0, random.Random(20)
    for _ in range(int(tries)):
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(whole)
        tamper(path, draw)
        try:
            model = load_model(path)
        except FeatxError as error:
            assert str(path) in str(error), str(error)
            refused += 1
            continue
        rows = np.random.default_rng(0).normal(size=(3, model.n_features_in_))
        assert np.isfinite(model.predict_proba(rows.astype(np.float32))).all()
    sys.stdout.write(str(refused))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_tampered_models_are_refused_or_finite(classifier, tmp_path):
    from featx import fit

    fit(make_matrix(n_images=40, views=1), classifier, cv=2).save(tmp_path / "model.skops")
    tries = 10 if classifier == "random_forest" else 60
    command = [sys.executable, "-W", "ignore", "-m", "tests.classifiers.test_model_checks"]
    command += [str(tmp_path / "model.skops"), str(tries)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert int(done.stdout) > tries / 8


if __name__ == "__main__":
    main(*sys.argv[1:])
