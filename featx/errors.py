"""What featx says when something is wrong: what, where, and what to do."""

from __future__ import annotations

__all__ = ["FeatxError", "MissingExtraError", "UnreadableImageError", "UsageError"]


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
