"""The pages list all that is public, and README and docs follow the style."""

import re

import featx
from tests.docs.blocks import PAGES, ROOT


def test_the_reference_lists_every_public_name():
    text = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   (\w+)$", text, re.MULTILINE))
    assert set(featx.__all__) - {"metrics"} <= listed


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_no_page_is_archaic():
    words = r"\b(heed|minds|whoever|lies beside|at hand|looked at|by heart|to be had|company)\b"
    for page in PAGES:
        assert not re.findall(words, page.read_text(encoding="utf-8"), re.IGNORECASE), page


def test_local_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
