import configparser
from pathlib import Path

import featx

ROOT = Path(__file__).parents[1]


def read_setup():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup


def test_one_version():
    assert read_setup()["metadata"]["version"] == featx.__version__
    assert f"\nversion: {featx.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"({featx.__version__})" in (ROOT / "CHANGELOG.md").read_text()
