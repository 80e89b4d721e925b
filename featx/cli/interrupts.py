"""Ctrl-C: the first stops the command cleanly, the second at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from typing import NoReturn

from featx.runtime.files import remove_unfinished

EXIT_CODE = 130

_STDERR = 2


class Interrupts:
    """Watches for Ctrl-C while a command runs."""

    def __init__(self) -> None:
        self.seen = False
        self._handled = self._announced = False

    def __enter__(self) -> Interrupts:
        # Only the main thread has signals; a process that ignores Ctrl-C (nohup) still does.
        self._previous = signal.getsignal(signal.SIGINT)
        self._watching = (
            threading.current_thread() is threading.main_thread()
            and self._previous is not signal.SIG_IGN
        )
        if self._watching:
            self._receiver, self._sender = socket.socketpair()
            self._sender.setblocking(False)
            signal.signal(signal.SIGINT, self._handle)
            self._former = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._watch, name="featx-interrupts", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # While stopping, a second Ctrl-C is answered until the process ends.
        if self._watching and not self.seen:
            signal.set_wakeup_fd(self._former)
            signal.signal(signal.SIGINT, self._previous)
            self._sender.close()

    def _handle(self, *_: object) -> None:
        if self._handled:
            _stop_at_once()
        self._handled = self.seen = True
        raise KeyboardInterrupt

    def _watch(self) -> None:
        with self._receiver:
            while received := self._receiver.recv(64):
                for number in received:
                    if number != signal.SIGINT:
                        continue
                    if self._announced:
                        _stop_at_once()
                    self._announced = self.seen = True
                    _write("featx: stopping; press Ctrl-C again to stop at once.")


def _stop_at_once() -> NoReturn:
    remove_unfinished()
    _write("featx: stopped; run the same command again to continue.")
    os._exit(EXIT_CODE)


def _write(text: str) -> None:
    # Not Python's own stream, whose lock the main thread may hold.
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"\n{text}\n".encode())
