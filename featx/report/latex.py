"""The table of rows for a paper, in LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from featx.report.tables import Row, table_cells, table_headers

__all__ = ["escape", "to_latex"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def escape(text: str) -> str:
    r"""Write text so that LaTeX prints it and runs none of it.

    Examples
    --------
    >>> print(escape(r"50 % of \input{a_b}"))
    50 \% of \textbackslash{}input\{a\_b\}
    """
    return "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))


def to_latex(rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    r"""Lay rows out as a LaTeX table, for ``\usepackage{booktabs}`` and ``\input``.

    Examples
    --------
    >>> print(to_latex([], ["Nothing was fitted."]).splitlines()[-2].strip())
    \footnotesize Nothing was fitted.\par
    """
    headers = table_headers(rows)
    lines = [
        r"% Needs \usepackage{booktabs,graphicx}.",
        r"\begin{table}",
        r"  \centering",
        r"  \caption{Models on the test images. Brackets: 95\,\% intervals.}",
        r"  \resizebox{\linewidth}{!}{%",
        rf"  \begin{{tabular}}{{l{'r' * (len(headers) - 1)}}}",
        r"    \toprule",
        rf"    {' & '.join(map(escape, headers))} \\",
        r"    \midrule",
        *(rf"    {' & '.join(map(escape, table_cells(row, rows)))} \\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}}",
        r"  \par\medskip",
        *(rf"  \footnotesize {escape(note)}\par" for note in notes),
        r"\end{table}",
    ]
    return "\n".join([*lines, ""])
