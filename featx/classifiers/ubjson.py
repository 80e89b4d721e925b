"""Reader of universal binary JSON, in which XGBoost writes boosters, with every length checked."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NUMBERS = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}
_CONSTANTS = {"T": True, "F": False, "Z": None}
_DEEPEST = 50


def read_ubjson(content: bytes) -> Any:
    """Return the value that the bytes hold, with typed lists as arrays.

    Examples
    --------
    >>> read_ubjson(b"{i" + bytes([1]) + b"a[$i#i" + bytes([2, 5, 255]) + b"}")
    {'a': array([ 5, -1], dtype=int8)}
    """
    reader = _Reader(content)
    try:
        value = reader.value(reader.take(1).decode("ascii"), 0)
    except (KeyError, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"no universal binary JSON ({error})") from error
    if reader.place != len(content):
        raise ValueError("bytes follow the end of universal binary JSON")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.place = 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.content) - self.place:
            raise ValueError("universal binary JSON ends early")
        self.place += count
        return self.content[self.place - count : self.place]

    def mark(self) -> str:
        return self.take(1).decode("ascii")

    def number(self, mark: str) -> Any:
        form = ">" + _NUMBERS[mark]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def length(self) -> int:
        mark = self.mark()
        if mark not in "iUIlL":
            raise ValueError("a length of universal binary JSON is no integer")
        return self.number(mark)

    def value(self, mark: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("universal binary JSON is nested too deep")
        if mark == "S":
            return self.take(self.length()).decode()
        if mark == "{":
            return dict(self.members(depth))
        if mark == "[":
            return self.items(depth)
        return _CONSTANTS[mark] if mark in _CONSTANTS else self.number(mark)

    def members(self, depth: int) -> Any:
        while (mark := self.mark()) != "}":
            self.place -= len(mark)
            yield self.take(self.length()).decode(), self.value(self.mark(), depth + 1)

    def items(self, depth: int) -> Any:
        mark = self.mark()
        if mark == "$":
            form = np.dtype(">" + _NUMBERS[self.mark()])
            if self.mark() != "#":
                raise ValueError("a typed list of universal binary JSON has no length")
            values = np.frombuffer(self.take(self.length() * form.itemsize), form)
            return values.astype(form.newbyteorder("="))
        if mark == "#":
            return [self.value(self.mark(), depth + 1) for _ in range(self.length())]
        found = []
        while mark != "]":
            found.append(self.value(mark, depth + 1))
            mark = self.mark()
        return found
