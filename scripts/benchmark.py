#!/usr/bin/env python
"""Print the benchmark table: `featx benchmark` from a checkout."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("FEATX_CACHE", str(ROOT / "cache"))

from featx.cli import main  # noqa: E402

if __name__ == "__main__":
    main(["benchmark", *sys.argv[1:]])
