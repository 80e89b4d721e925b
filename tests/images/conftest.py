import numpy as np
import pytest

from tests.conftest import smooth_image


@pytest.fixture
def gray(generator):
    return smooth_image(generator).copy()


@pytest.fixture
def colors(generator):
    return np.stack([smooth_image(generator) for _ in range(3)], axis=2)
