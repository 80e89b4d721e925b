import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "coverage.py"


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_bench", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("positive", "negative", "images", "area"),
    [
        (10, 200, "1", (0.94, 0.97)),
        (30, 300, "1", (0.985, 0.995)),
        (10, 10, "10", (0.8, 0.9)),
        (30, 30, "1 to 30", (0.94, 0.97)),
    ],
)
def test_intervals_cover_as_they_claim(coverage, positive, negative, images, area):
    design = coverage.Design(positive, negative, images, area)
    figures = coverage.OF_CLASSES + coverage.OF_COHORTS
    (found,) = coverage.measure(design, figures, 150, 0, methods=(coverage.found_now,))
    # Of 150 samples, 90 % is 2.8 standard errors under 95 %.
    assert {name: hits for name, (hits, _) in zip(figures, found, strict=True) if hits < 0.9} == {}
