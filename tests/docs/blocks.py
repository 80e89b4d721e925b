"""Read the fenced code blocks of the README and of the documentation."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]
# A comment before a block: "ci: NAME" is run by .ci/run, "parsed: REASON" is not run here.
BLOCK = re.compile(
    r"(?:<!-- (?P<marker>ci|parsed): [^\n]* -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One fenced block; `runs` unless a comment says that it is only parsed."""

    language: str
    text: str
    runs: bool

    @property
    def commands(self) -> list[list[str]]:
        """Words of each featx command of a bash block."""
        joined = self.text.replace("\\\n", " ")
        lines = [shlex.split(line, comments=True) for line in joined.splitlines()]
        return [words[1:] for words in lines if words[:1] == ["featx"]]


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    return [
        Block(match["language"], match["text"], match["marker"] is None)
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]
