"""SIGINT and SIGTERM: the first asks a run to end after the batch in flight, a second one aborts at once."""

import os
import signal
import threading
from types import FrameType
from typing import Any, final

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = b"\nending after the batch in flight; once more aborts at once\n"


@final
class Interrupted(KeyboardInterrupt):
    """Raised at once where nobody asked for gentleness. `signal` is the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.signal = number


@final
class Interrupts:
    """A scope in which signals are ours; outside it they are whose they were. Does nothing but in the main thread.

    gentle: whether the first signal only sets `asked` (its number, else 0), with a notice on standard error.
    """

    def __init__(self) -> None:
        self.asked, self.gentle = 0, False
        self._before: dict[int, Any] = {}  # Any: a handler, a number, or None

    def arm(self) -> None:
        """Take the signals (again: starting Ray in this process takes SIGTERM)."""
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
        # Straight to the descriptor: a handler may run in the middle of somebody's print.
        os.write(2, NOTICE)
