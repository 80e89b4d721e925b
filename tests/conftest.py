import logging
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from featx.cli import main
from featx.datasets.dataset import ImageDataset
from featx.features.cache import file_hashes
from featx.features.pipeline import ENGINES, Embedder
from featx.images.sources import identify
from featx.runtime.parallel import set_jobs
from tests.features.worker import quick_engine

# How long an example takes depends on what else the machine does.
settings.register_profile("featx", deadline=None)
settings.load_profile("featx")

SHARED = Path(__file__).resolve().parents[2] / "shared"


PATIENT_RULE = r"(p\d+)_"


@pytest.fixture(autouse=True)
def _own_environment(tmp_path_factory, monkeypatch, caplog):
    """Isolate tests from the user's cache, weights, log level and number of jobs."""
    monkeypatch.setenv("FEATX_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    for name in ("FEATX_WEIGHTS_DIR", "FEATX_PATIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.INFO, logger="featx")
    yield
    set_jobs(None)


# Most tests embed with the same few networks, and loading one takes seconds.
ENGINES.size = 64


@pytest.fixture
def use_engine():
    """Replace networks for a test by what a factory makes."""
    with ExitStack() as stack:
        yield lambda factory: stack.enter_context(ENGINES.using(factory))


@pytest.fixture
def quick(use_engine):
    """Engines that cost nothing, where the network is not the point."""
    use_engine(quick_engine)


@pytest.fixture
def networks_loaded_anew(use_engine):
    """For tests of the loading itself."""
    use_engine(Embedder.load_engine)


def _name_of(source):
    return getattr(source, "name", None) or source.url


@pytest.fixture
def hashed_names(monkeypatch):
    """Names of the images whose bytes were read to compute their digests."""
    names = []

    def count(source):
        # Of a file the name below its collection, of others the one inside an archive or a URL.
        parts = source.parts[-2:] if isinstance(source, Path) else [_name_of(source)]
        names.append("/".join(parts))
        return identify(source)

    monkeypatch.setattr(file_hashes, "identify", count)
    return names


@pytest.fixture
def run_featx(capsys):
    """Run a command in this process; return its exit code, standard output and standard error."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        return stop.value.code, *capsys.readouterr()

    return run


# A shell lets its background jobs ignore Ctrl-C, and their children inherit that: undo it.
WITH_SIGINT = ["env", "--default-signal=INT"]


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def smooth_image(generator, size=(40, 48)):
    """A picture with structure at several scales, as compression and networks expect."""
    coarse = generator.random((5, 6))
    image = Image.fromarray((coarse * 255).astype(np.uint8)).resize(size[::-1], Image.BICUBIC)
    return np.asarray(image)


@pytest.fixture
def image_folder(tmp_path, generator):
    """Two classes x six patients x two images, as PNG files."""
    root = tmp_path / "xrays"
    for name, offset in (("NORMAL", 0), ("PNEUMONIA", 6)):
        (root / name).mkdir(parents=True)
        for patient in range(offset, offset + 6):
            for number in range(2):
                pixels = smooth_image(generator)
                Image.fromarray(pixels).save(root / name / f"p{patient:02d}_{number}.png")
    return root


@pytest.fixture
def images(image_folder):
    return ImageDataset.open(image_folder, r"(p\d+)_")


@pytest.fixture(scope="session")
def shared():
    if not SHARED.exists():
        pytest.skip(f"{SHARED} with real X-rays and weights is not here")
    return SHARED
