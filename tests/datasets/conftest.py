import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def put(tmp_path, generator):
    """Draw small images, like no others, under paths below the test's folder."""

    def draw(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
        return tmp_path

    return draw
