"""How far a task is, where there is a log, a notebook or nobody to see."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

import featx.runtime.progress
from featx.runtime.progress import detail, progress, say, set_quiet, set_verbose


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves a second at each step of a task."""
    now = [0.0]
    monkeypatch.setattr(featx.runtime.progress.time, "monotonic", lambda: now[0])

    def work(steps):
        with progress("Embedding", steps, "views") as advance:
            for _ in range(steps):
                now[0] += 1
                advance()

    return work


def test_a_log_gets_a_line_now_and_then(clock, capsys):
    clock(9)
    assert capsys.readouterr().err == ""
    clock(1000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 100
    assert lines[0] == "Embedding: 10 of 1,000 views, 1.0/s, about 990 s left"


def test_a_notebook_gets_one_line_that_is_replaced(clock, capsys, monkeypatch):
    """As a kernel looks from inside; that a real one shows it was seen with nbclient."""
    shown = []

    class Handle:
        def update(self, data, raw):
            shown[-1].append(data["text/plain"])

    def display(data, raw, display_id):
        assert raw
        assert display_id
        shown.append([data["text/plain"]])
        return Handle()

    shell = SimpleNamespace(kernel=object())
    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython, module.display = lambda: shell, display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    clock(40)
    (line,) = shown
    assert line[0] == f"Embedding {'░' * 20} 1 of 40 views, 1.0/s"
    assert line[-1] == f"Embedding {'█' * 20} 40 of 40 views, 1.0/s"
    assert capsys.readouterr().err == ""
    # In a terminal IPython has no kernel.
    del shell.kernel
    clock(40)
    assert len(shown) == 1
    assert "20 of 40" in capsys.readouterr().err


def test_quiet_says_nothing_and_verbose_more(clock, capsys):
    detail("Nobody asked.")
    set_verbose(True)
    detail("Somebody asked.")
    say("A note with [brackets].")
    assert capsys.readouterr().err == "Somebody asked.\nA note with [brackets].\n"
    set_quiet(True)
    detail("Hush.")
    say("Hush.")
    clock(1000)
    assert capsys.readouterr().err == ""
