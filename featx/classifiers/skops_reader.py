"""Read the objects of a skops archive whose types were checked.

Skops itself imports all of scikit-learn and more, some hundred modules that a prediction does not
need and that took a third of its time. It still writes the files.
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

# Later ones may mean something else; the nodes below are alike in all of these.
_PROTOCOLS = (0, 1, 2)


def read_object(content: bytes) -> Any:
    """Return the object of an archive; no name in it is checked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
        if schema["protocol"] not in _PROTOCOLS:
            raise ValueError(f"protocol {schema['protocol']} of skops is unknown")
        return _Reader(archive).build(schema)


class _Reader:
    """Builds the nodes of one archive; nodes of one number are one object."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._built: dict[int, Any] = {}

    def build(self, node: dict[str, Any]) -> Any:
        number = node.get("__id__")
        if number not in self._built:
            made = _BUILDERS[node["__loader__"]](self, node)
            if number is None:
                return made
            self._built[number] = made
        return self._built[number]

    def _dict(self, node: dict[str, Any]) -> Any:
        kinds = self.build(node["key_types"])
        pairs = zip(kinds, node["content"].items(), strict=True)
        return {kind(key): self.build(value) for kind, (key, value) in pairs}

    def _list(self, node: dict[str, Any]) -> Any:
        return _type_of(node)(self.build(each) for each in node["content"])

    def _json(self, node: dict[str, Any]) -> Any:
        return json.loads(node["content"])

    def _array(self, node: dict[str, Any]) -> Any:
        if node["type"] == "numpy":
            stream = io.BytesIO(self._archive.read(node["file"]))
            array = np.load(stream, allow_pickle=False)
            kind = _type_of(node)
            return array if kind is np.ndarray else kind(array)
        items = [self.build(each) for each in node["content"]]
        return np.array(items, dtype=object).reshape(self.build(node["shape"]))

    def _object(self, node: dict[str, Any]) -> Any:
        kind = _type_of(node)
        made = kind.__new__(kind)
        state = self.build(node["content"]) if "content" in node else None
        if state is not None:
            _restore(made, state)
        return made

    def _slice(self, node: dict[str, Any]) -> Any:
        return slice(*(node["content"][name] for name in ("start", "stop", "step")))

    def _dtype(self, node: dict[str, Any]) -> Any:
        return self.build(node["content"]).dtype

    def _tree(self, node: dict[str, Any]) -> Any:
        made = _type_of(node)(*self.build(node["__reduce__"]["args"]))
        _restore(made, self.build(node["content"]))
        return made


def _type_of(node: dict[str, Any]) -> Any:
    return getattr(importlib.import_module(node["__module__"]), node["__class__"])


def _restore(made: Any, state: Any) -> None:
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
    else:
        made.__dict__.update(state)


_BUILDERS: dict[str, Callable[[_Reader, dict[str, Any]], Any]] = {
    "DTypeNode": _Reader._dtype,
    "DictNode": _Reader._dict,
    "ListNode": _Reader._list,
    "TupleNode": _Reader._list,
    "JsonNode": _Reader._json,
    "TypeNode": lambda _, node: _type_of(node),
    "NdArrayNode": _Reader._array,
    "ObjectNode": _Reader._object,
    "SliceNode": _Reader._slice,
    "TreeNode": _Reader._tree,
}
