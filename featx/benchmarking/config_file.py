"""Files of settings of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featx.errors import UsageError


def read_config(path: str | Path) -> dict[str, Any]:
    """Read flat settings from a YAML or JSON file, or from the ``run.json`` of any run."""
    import yaml

    try:
        # JSON is YAML, too.
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"the settings in {path} cannot be read: {error}") from error
    if isinstance(content, Mapping) and "format" in content and "settings" in content:
        content = content["settings"]
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} holds no settings; write one `name: value` per line")
    return {str(name): value for name, value in content.items()}
