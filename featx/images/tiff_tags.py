"""Directories of tags in TIFF and BigTIFF files: reading and replacing them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from featx.errors import UnreadableImageError

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Letters of `struct` by TIFF's number of the type; text and fractions decide no pixels.
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 16: "Q", 17: "q", 18: "Q"}
_UNSIGNED_LONG = 4
_MOST_TAGS = 4096


@dataclass(frozen=True)
class Directory:
    """Tags of one page; `fields` has type, count and the stored value or its place."""

    content: bytes
    fields: Mapping[int, tuple[int, int, bytes]]

    @property
    def order(self) -> str:
        """Byte order as `struct` and NumPy name it."""
        return "<" if self.content[:1] == b"I" else ">"

    @property
    def big(self) -> bool:
        """Whether this is BigTIFF."""
        return b"+" in self.content[2:4]

    def numbers(self, tag: int) -> list[int]:
        """Return the values of a tag; none if it is absent or not of whole numbers."""
        kind, count, raw = self.fields.get(tag, (0, 0, b""))
        if kind not in _TYPES or count == 0:
            return []
        layout = f"{self.order}{count}{_TYPES[kind]}"
        if struct.calcsize(layout) <= len(raw):
            return list(struct.unpack_from(layout, raw))
        place = struct.unpack(f"{self.order}{'Q' if self.big else 'I'}", raw)[0]
        return list(struct.unpack_from(layout, self.content, place))

    def number(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag."""
        return (self.numbers(tag) or [default])[0]


def is_tiff(content: bytes) -> bool:
    """Return whether bytes begin as a TIFF or BigTIFF file does."""
    return content[:4] in _SIGNATURES


def read_directories(content: bytes) -> Iterator[Directory]:
    """Yield the directory of each page; a damaged file may have any number."""
    head = Directory(content, {})
    order, big = head.order, head.big
    offset = "Q" if big else "I"
    place = struct.unpack_from(f"{order}{offset}", content, 8 if big else 4)[0]
    while place:
        count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", content, place)[0]
        if count > _MOST_TAGS:
            raise UnreadableImageError("damaged or cut short (TIFF tags)")
        place += 8 if big else 2
        fields = {}
        for _ in range(count):
            tag, kind, length = struct.unpack_from(f"{order}HH{offset}", content, place)
            end = place + (20 if big else 12)
            fields[tag] = (kind, length, content[end - (8 if big else 4) : end])
            place = end
        yield Directory(content, fields)
        place = struct.unpack_from(f"{order}{offset}", content, place)[0]


def with_directory(page: Directory, kept: set[int], changed: Mapping[int, int]) -> bytes:
    """Return the file with one page, which has some of this page's tags and some new values."""
    order, big, content = page.order, page.big, page.content
    offset, width = ("Q", 8) if big else ("I", 4)
    fields = {tag: field for tag, field in page.fields.items() if tag in kept}
    for tag, value in changed.items():
        fields[tag] = (_UNSIGNED_LONG, 1, struct.pack(f"{order}I", value))
    parts = [struct.pack(f"{order}{'Q' if big else 'H'}", len(fields))]
    for tag, (kind, count, raw) in sorted(fields.items()):
        parts.append(struct.pack(f"{order}HH{offset}", tag, kind, count) + raw.ljust(width, b"\0"))
    parts.append(bytes(width))
    start = len(content) + len(content) % 2
    head = content[: 8 if big else 4] + struct.pack(f"{order}{offset}", start)
    return head + content[len(head) :].ljust(start - len(head), b"\0") + b"".join(parts)
