"""What featx says when something is wrong: what, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["FeatxError", "MissingExtraError", "UnreadableImageError", "UsageError", "unknown_name"]


class FeatxError(Exception):
    """A failure with a message meant for the user; the command line exits with 1.

    Examples
    --------
    >>> FeatxError.exit_code, UsageError.exit_code
    (1, 2)
    """

    exit_code = 1


class UsageError(FeatxError, ValueError):
    """Something was asked for in a wrong way; the command line exits with 2."""

    exit_code = 2


def unknown_name(what: str, name: object, known: Iterable[str]) -> UsageError:
    """Make the error that names what was asked for and what there is.

    Parameters
    ----------
    what : str
        What kind of thing it names.
    name : object
        What was asked for.
    known : iterable of str
        What there is.

    Examples
    --------
    >>> print(unknown_name("pooling", "maximum", ["average", "max"]))
    there is no pooling 'maximum'; did you mean 'max'? (known: average, max)
    """
    names = list(known)
    close = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return UsageError(f"there is no {what} {name!r}{hint} (known: {', '.join(names)})")


class UnreadableImageError(FeatxError):
    """One image cannot be decoded; the message is the reason, without the path."""


class MissingExtraError(FeatxError, ImportError):
    """An optional package is not installed.

    Parameters
    ----------
    purpose : str
        What the package is needed for.
    install : str
        What to give to ``pip install``.
    """

    def __init__(self, purpose: str, install: str) -> None:
        super().__init__(f'{purpose} needs a package that is missing: pip install "{install}"')
