"""Errors of featx; each message states problem, cause and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "FeatxError",
    "MissingExtraError",
    "UnreadableImageError",
    "UsageError",
    "check_names",
    "find_name",
    "listed",
    "printable",
    "unknown_name",
]

_IGNORED = str.maketrans("", "", "-_ ")


class FeatxError(Exception):
    """Report a failure to the user; base class of featx's errors.

    The command line prints the message and exits with `exit_code`. Catch it to handle every
    expected failure of featx: missing weights, a full disk, images that cannot be read.

    Attributes
    ----------
    exit_code : int
        Exit code of the command line: 1, or 2 for a `UsageError`.

    Examples
    --------
    >>> FeatxError.exit_code, UsageError.exit_code
    (1, 2)
    """

    exit_code = 1


class UsageError(FeatxError, ValueError):
    """Report an invalid argument, name, option or file.

    It is a ValueError, as scikit-learn raises for invalid parameters; the command line exits
    with 2.

    Examples
    --------
    >>> import featx
    >>> featx.ExtractionConfig(views=0)
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: views=0: 1, the image itself, to 10,000 are possible
    """

    exit_code = 2


def unknown_name(what: str, name: object, known: Iterable[str]) -> UsageError:
    """Return the error of an unknown name, with the closest known one.

    Examples
    --------
    >>> print(unknown_name("pooling", "maximum", ["average", "max"]))
    there is no pooling 'maximum'; did you mean 'max'? (known: average, max)
    """
    names = list(known)
    close = get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    most = 60 if len(names) <= 60 else 6
    return UsageError(f"there is no {what} {name!r}{hint} (known: {listed(names, most)})")


def check_names(what: str, names: Iterable[object], known: Iterable[str]) -> None:
    """Refuse names of which one is unknown."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown_name(what, name, known)


def find_name(what: str, name: object, known: Iterable[str]) -> str:
    """Return the known name that a name means, whatever its capitals, hyphens and underscores.

    Raises
    ------
    UsageError
        If there is no such name, or several differ from it by spelling only.

    Examples
    --------
    >>> find_name("backbone", "DenseNet-121", ["densenet121", "vgg16"])
    'densenet121'
    """
    names = list(known)
    if name in names:
        return str(name)
    meant = [each for each in names if _plain(each) == _plain(str(name))]
    if len(meant) > 1:
        raise UsageError(f"{what} {name!r} is ambiguous; write one of: {', '.join(meant)}")
    if not meant:
        raise unknown_name(what, name, names)
    return meant[0]


def _plain(name: str) -> str:
    return name.casefold().translate(_IGNORED)


def listed(names: Iterable[str], most: int) -> str:
    """Join names by commas, at most so many, and count the others.

    Examples
    --------
    >>> listed(["a", "b", "c", "d"], 2), listed(["a"], 2)
    ('a, b and 2 more', 'a')
    """
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def printable(text: str) -> str:
    r"""Escape what a terminal would obey or cannot show, such as in names of files.

    Examples
    --------
    >>> printable("red\x1b[31m \udcff")
    'red\\x1b[31m \\xff'
    """
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    # Python keeps undecodable bytes of file names as these surrogates.
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return (
        letter.encode("ascii", "backslashreplace").decode()
        if ord(letter) > 127
        else repr(letter)[1:-1]
    )


class UnreadableImageError(FeatxError):
    """Report an image that cannot be decoded.

    The message is the reason, without the path. Extraction leaves such images out and lists them
    in `FeatureMatrix.unreadable`; with ``strict=True`` they are an error.
    """


class MissingExtraError(FeatxError, ImportError):
    """Report an optional package that is not installed.

    Parameters
    ----------
    purpose : str
        What needs the package, at the beginning of the message.
    install : str
        Argument of ``pip install``, such as ``"featx[dicom]"``.

    Examples
    --------
    >>> print(MissingExtraError("reading DICOM files", "featx[dicom]"))
    reading DICOM files needs a package that is missing: pip install "featx[dicom]"
    """

    def __init__(self, purpose: str, install: str) -> None:
        super().__init__(f'{purpose} needs a package that is missing: pip install "{install}"')
