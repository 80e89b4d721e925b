"""The CPU-only install names what setup.cfg requires."""

import configparser
import re

from tests.docs.blocks import ROOT

CPU_ONLY = {"tensorflow": "tensorflow-cpu", "xgboost": "xgboost-cpu"}


def test_the_cpu_packages_are_those_of_setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    required = config["options"]["install_requires"].split()
    expected = [
        re.sub(r"^[\w-]+", lambda name: CPU_ONLY.get(name[0], name[0]), line) for line in required
    ]
    text = (ROOT / "docs/installation.md").read_text(encoding="utf-8")
    block = re.search(r"pip install ('tensorflow-cpu.*?)\npip install --no-deps", text, re.DOTALL)
    assert re.findall(r"'([^']+)'", block[1]) == expected
