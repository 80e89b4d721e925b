"""Every test that a page names exists."""

import re

import pytest

from tests.docs.blocks import PAGES, ROOT

NAMED = sorted(
    {
        name
        for page in PAGES
        for name in re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", page.read_text(encoding="utf-8"))
    }
)


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name):
    path, _, function = name.partition("::")
    assert (ROOT / path).exists()
    if function:
        assert f"def {function}(" in (ROOT / path).read_text(encoding="utf-8")
