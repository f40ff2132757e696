"""Handle SIGINT and SIGTERM in a run: the first signal ends the run after the current batch, a second one aborts it."""

import os
import signal
import threading
from types import FrameType
from typing import Any, final

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = b"\nending after the batch in flight; once more aborts at once\n"


@final
class Interrupted(KeyboardInterrupt):
    """A signal aborts the run at once. signal: the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.signal = number


@final
class Interrupts:
    """A context manager that handles SIGINT and SIGTERM in the main thread, and restores the old handlers at its end.

    gentle: if true, the first signal only sets `asked` and prints a notice on stderr; later signals raise
    `Interrupted`. If false, every signal raises `Interrupted`.
    asked: the number of the first signal; 0 if none has arrived.
    """

    def __init__(self) -> None:
        self.asked, self.gentle = 0, False
        self._before: dict[int, Any] = {}  # Any: a handler, a number, or None

    def arm(self) -> None:
        """Install the signal handlers. Call this method again after Ray has started: Ray replaces that of SIGTERM."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                before = signal.signal(number, self._take)
                self._before.setdefault(number, before)

    def __enter__(self) -> "Interrupts":
        self.arm()
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before if before is not None else signal.SIG_DFL)

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.asked or not self.gentle:
            raise Interrupted(number)
        self.asked = number
        # os.write, because the handler may interrupt a print, and buffered output is not reentrant.
        os.write(2, NOTICE)
