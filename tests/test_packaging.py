from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import featx

ROOT = Path(__file__).parents[1]


def read_setup():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup


def test_the_small_install_of_the_readme_leaves_nothing_out():
    text = (ROOT / "README.md").read_text()
    command = re.search(r"(pip install 'tensorflow-cpu.*?)\npip install --no-deps", text, re.S)[1]
    small = shlex.split(command.replace("\\\n", " "))[2:]
    plain = [re.sub(r"^(tensorflow|xgboost)-cpu", r"\1", requirement) for requirement in small]
    assert sorted(plain) == sorted(read_setup()["options"]["install_requires"].split())


def test_one_version():
    assert read_setup()["metadata"]["version"] == featx.__version__
    assert f"\nversion: {featx.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"({featx.__version__})" in (ROOT / "CHANGELOG.md").read_text()
