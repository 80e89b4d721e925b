"""Changes of files and of command lines, each drawn from a seeded generator."""

import re
import shutil
from pathlib import Path

VALUES = ["", " ", "-1", "0", "nan", "1e999", "9" * 20, "x" * 5000, "\udcff", "é\u202e", "=1+1"]
VALUES += ["../..", "/dev/null", "/", "(", "a,b,,", "[]", "{}", "null", "s3://", "http://", "*"]


def mutate(content, draw):
    """Flip, zero, cut, repeat, insert or swap bytes."""
    content = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 3, 10])):
        place, length = draw.randrange(len(content) + 1), draw.choice([1, 4, 64, 400])
        if draw.random() < 0.4:
            # Headers and ends decide more than what lies between.
            place = draw.choice([place % 600, max(0, len(content) - place % 600)])
        end = place + length
        match draw.randrange(7):
            case 0 if place < len(content):
                content[place] ^= 1 << draw.randrange(8)
            case 1:
                content[place:end] = bytes(len(content[place:end]))
            case 2:
                del content[place:]
            case 3:
                content[place:place] = content[place:end]
            case 4:
                content[place:place] = draw.randbytes(length)
            case 5:
                content[place:end] = b"\xff" * len(content[place:end])
            case _:
                del content[place:end]
    return bytes(content)


def mutate_text(content, draw):
    """Replace a cell, number or text by an awkward value; sometimes bytes, too."""
    text = content.decode("utf-8", "surrogateescape")
    words = list(re.finditer(r'[^\s,;:{}\[\]"]+', text))
    if draw.random() < 0.3 or not words:
        return mutate(content, draw)
    for _ in range(draw.choice([1, 1, 4])):
        found = draw.choice(words)
        text = text[: found.start()] + draw.choice(VALUES) + text[found.end() :]
    return text.encode("utf-8", "surrogateescape")


def change_file(folder, draw, pattern="*"):
    """Change, empty, delete or replace one file of a folder."""
    path = draw.choice(sorted(path for path in folder.rglob(pattern) if path.is_file()))
    how = draw.randrange(12)
    if how == 0:
        path.write_bytes(b"")
    elif how == 1:
        path.unlink()
    elif how == 2:
        path.unlink()
        path.mkdir()
    else:
        textual = path.suffix in (".json", ".csv", ".md", ".html", ".txt")
        path.write_bytes((mutate_text if textual else mutate)(path.read_bytes(), draw))


def copy(base, *names):
    """Copy files and folders to the working folder of a case."""
    for name in names:
        source = base / name
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(name))
    return [Path(name) for name in names]
