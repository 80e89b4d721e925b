import io
import logging
import sys

import pytest
import tqdm.std

from featx.cli.output import logging_to_stderr
from featx.runtime.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def work(monkeypatch):
    """Run a task whose steps each take a second by tqdm's clock."""
    now = [0.0]
    monkeypatch.setattr(tqdm.std, "time", lambda: now[0])
    monkeypatch.setattr(tqdm.std.tqdm, "monitor_interval", 0)

    def steps(count):
        with progress("Embedding", count, "views") as advance:
            for number in range(count):
                now[0] += 1
                advance(note=f"shard {number}")

    return steps


def test_a_log_gets_a_line_every_ten_seconds_and_none_of_a_short_task(work, caplog):
    work(9)
    assert caplog.messages == []
    work(100)
    assert len(caplog.messages) == 10
    first = "Embedding: 10 of 100 views, 1.00/s, about 01:30 left, shard 9"
    assert caplog.messages[0] == first


def test_a_terminal_gets_a_bar_after_two_seconds(work, monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", Terminal())
    work(1)
    assert sys.stderr.getvalue() == ""
    work(5)
    assert "Embedding: 100%" in sys.stderr.getvalue()
    assert "5 of 5 views, 1.00/s" in sys.stderr.getvalue()
    assert caplog.messages == []


@pytest.mark.parametrize("stream", [None, Terminal(), io.StringIO()])
def test_messages_and_progress_work_on_any_standard_error(work, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with logging_to_stderr():
        logging.getLogger("featx.tests").info("A note with [brackets].")
        work(30)
    if stream is not None:
        assert stream.getvalue().startswith("A note with [brackets].\n")
        assert "Embedding: " in stream.getvalue()


def test_a_level_above_info_hides_progress(work, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    caplog.set_level(logging.WARNING, logger="featx")
    work(1000)
    assert sys.stderr.getvalue() == ""
    assert caplog.messages == []
