from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from featx.report.latex import escape, to_latex

from .test_tables import COLLAPSED, ROW

HOSTILE = {**ROW, "backbone": r"a_b \input{/etc/passwd} $x^2$ 5% #1 & ~<b>"}
TABLE = to_latex([ROW, COLLAPSED, HOSTILE], ["Tested on 5 % of images."])


def test_every_row_has_as_many_cells_as_columns():
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", TABLE)[1]
    lines = [line for line in TABLE.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 4
    for line in lines:
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
    assert TABLE.index(r"\toprule") < TABLE.index(r"\midrule") < TABLE.index(r"\bottomrule")
    assert "0.988 (0.970 to 0.995)" in TABLE
    assert r"Tested on 5 \% of images." in TABLE


def test_nothing_that_latex_would_run_is_left():
    # All that is left once escapes are taken away is text.
    names = r"textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar"
    bare = re.sub(rf"\\(?:(?:{names})\{{\}}|[&%$#_{{}}])", "", escape(HOSTILE["backbone"]))
    assert not set(bare) & set("\\{}$&#^_~%<>")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_sets_it(tmp_path):
    document = (
        rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{TABLE}"
    )
    (tmp_path / "table.tex").write_text(document + r"\end{document}")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
