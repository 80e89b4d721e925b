from dataclasses import replace

import numpy as np
import pytest

import featx
from tests.benchmarking.conftest import GridEngine, draw
from featx.features.pipeline import ENGINES

@pytest.fixture(scope="module")
def run(tmp_path_factory):
    images = draw(n=160, signal=12)
    sex = np.array(["F", "M"])[np.arange(160) // 4 % 2]
    images = replace(images, columns={"sex": sex})
    out = tmp_path_factory.mktemp("verify") / "out"
    with ENGINES.using(lambda embedder: GridEngine(embedder.backbone.features)):
        featx.benchmark(
            images, classifiers=["logistic", "naive_bayes"], views=1, cv=3, test_size=0.5, n_jobs=1, adapt=True,
            subgroups="sex", repeats=2, unit="patient", robustness=False, internal_shifts=True,
            externals={"other": replace(draw(1, n=80, signal=30))}, out=out,
            cache=out.parent / "cache",
        )
    return out


def test_untouched(run):
    import time
    t = time.time()
    found = featx.verify(run)
    print(time.time() - t)
    print("\n".join(found.lines()))
    assert not found.mismatches
