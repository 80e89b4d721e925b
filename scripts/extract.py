#!/usr/bin/env python
"""Embed images with frozen networks: `featx extract` from a checkout."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("FEATX_CACHE", str(ROOT / "cache"))

from featx.cli import main  # noqa: E402

if __name__ == "__main__":
    main(["extract", *sys.argv[1:]])
