"""Memory, of real processes: what the operating system says they took at most."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

# An extraction into a file, in a process of its own that has done a small one before: what
# libraries take once is then taken. Prints by how much the peak rose, and the matrix's size.
SCRIPT = """
import resource, sys
from pathlib import Path
from featx.features.pipeline import ENGINES
from featx.features.extraction import extract
from featx.datasets.dataset import ImageDataset
from tests.features.worker import quick_engine

ENGINES.factory = quick_engine
images, place = ImageDataset.open(sys.argv[1], r"(p\\d+)_"), Path(sys.argv[2])

def peak(chosen, name):
    matrix = extract(
        chosen, ["resnet50", "vgg16"], views=4, weights="random", cache=place, out=place / name
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, matrix.X.nbytes

small, _ = peak(images.select(range(120)), "small.h5")
large, size = peak(images, "large.h5")
print(large - small, size)
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, generator):
    for number in range(800):
        path = tmp_path / "xrays" / ("NORMAL", "PNEUMONIA")[number % 2] / f"p{number}_0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (16, 16), dtype=np.uint8)).save(path)
    command = [sys.executable, "-c", SCRIPT, tmp_path / "xrays", tmp_path / "place"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    growth, size = map(int, done.stdout.split())
    # Rows gathered in memory would take at least the size of the matrix.
    assert size > 30e6
    assert growth < 0.8 * size
