"""Handle SIGINT, SIGTERM and SIGHUP in a run: the first ends the run after the current batch, a second aborts it."""

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any, final

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTICE = b"\nending after the batch in flight; once more aborts at once\n"


@final
class Interrupted(KeyboardInterrupt):
    """A signal aborts the run at once. signal: the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.signal = number


@final
class Interrupts:
    """A context manager that handles SIGINT, SIGTERM and SIGHUP in the main thread. It restores the old handlers.

    gentle: if true, the first signal only sets `asked` and prints a notice on stderr; later signals raise
    `Interrupted`. If false, every signal raises `Interrupted`. If SIGHUP was ignored before (nohup), it stays ignored.
    SIGHUP says that the terminal was closed, so later output to the terminal is discarded.
    asked: the number of the first signal; 0 if none has arrived.
    """

    def __init__(self) -> None:
        self.asked, self.gentle = 0, False
        self._before: dict[int, Any] = {}  # Any: a handler, a number, or None
        # `isatty` is false after SIGHUP, so it is called now.
        self._terminals = [number for number in (1, 2) if os.isatty(number)]

    def arm(self) -> None:
        """Install the signal handlers. Call this method again after Ray has started: Ray replaces that of SIGTERM."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    before = signal.signal(number, self._take)
                    self._before.setdefault(number, before)

    def __enter__(self) -> "Interrupts":
        self.arm()
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before if before is not None else signal.SIG_DFL)

    def _take(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            for terminal in self._terminals:
                _discard(terminal)
        if self.asked or not self.gentle:
            raise Interrupted(number)
        self.asked = number
        # os.write, because the handler may interrupt a print, and buffered output is not reentrant.
        with contextlib.suppress(OSError):
            os.write(2, NOTICE)


def _discard(output: int) -> None:
    """Redirect a file descriptor to the null device, because a write to a closed terminal would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    os.close(nowhere)
