"""The boundary between two rounds. Only at a boundary can the state of a run be read, saved or loaded."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

from antiphon.errors import ExperimentError, ProtocolError


@final
class Boundary:
    """Records whether an executor is at a boundary between two rounds, and refuses calls that are valid only there.

    Inside a round, and after an interrupted round, players and oracles are at different points of the round. Their
    states do not fit together, so every read is refused.
    """

    def __init__(self) -> None:
        self.last, self._left, self._inside, self._ended = 0, "", False, False

    @property
    def round(self) -> int:
        """The next round to play. Raises ProtocolError if the run is not at a round boundary, or is closed."""
        self.check("return its round")
        return self.last

    @property
    def left(self) -> bool:
        """Whether the run has left a round boundary and has not yet reached the next boundary."""
        return bool(self._left)

    def check(self, what: str) -> None:
        """Raise ProtocolError unless the run is open and at a round boundary. what: the caller's action, for errors."""
        self._refuse(what)
        if self._left:
            raise ProtocolError(
                f"the run was asked to {what}, but it was interrupted or failed while it was asked to {self._left}, "
                f"behind round {self.last}; expected the boundary between two rounds, found players and oracles in "
                "the middle of a round. `load` a state or a checkpoint of an earlier boundary, then go on."
            )

    @contextmanager
    def crossing(self, what: str, *, anew: bool = False) -> Iterator[None]:
        """Return a context for an action that leaves the round boundary, such as playing or loading.

        Call `arrive` in the context when the run has reached the next boundary. If the action raises an exception
        before that, the run is at no boundary.
        what: the action, for error texts. anew: the action replaces all states, so it need not begin at a boundary.
        """
        self._refuse(what) if anew else self.check(what)
        self._inside, self._left = True, what
        try:
            yield
        finally:
            self._inside = False

    def arrive(self, round: int) -> None:
        """Record that the run is at a boundary between two rounds. round: the next round to play."""
        self.last, self._left = round, ""

    def end(self) -> None:
        """Record that the run is closed. All later calls of `check` and `crossing` raise ProtocolError."""
        self._ended = True

    def _refuse(self, what: str) -> None:
        if self._inside:
            raise ProtocolError(
                f"the run was asked to {what} while it was asked to {self._left}, behind round {self.last}; expected "
                "the boundary between two rounds. Ask again when that call has returned."
            )
        if self._ended:
            raise ProtocolError(
                f"the run was asked to {what} after it was closed, at round {self.last}; expected an open run. "
                "Ask before the end of its `with` block, or launch another run."
            )


def python_interrupts() -> bool:
    """Return whether Ctrl-C raises KeyboardInterrupt in the calling thread.

    It does in the main thread, if Python's own SIGINT handler is set.
    """
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@final
class Deferred:
    """A context that delays Ctrl-C. The first Ctrl-C sets `asked`; KeyboardInterrupt is raised when the context ends.

    A second Ctrl-C raises KeyboardInterrupt at once. The context has an effect only in the main thread, and only if
    Python's own SIGINT handler is set. It never replaces a handler of the user.
    """

    def __init__(self) -> None:
        self.asked, self._ours = False, False

    def __enter__(self) -> "Deferred":
        self._ours = python_interrupts()
        if self._ours:
            signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._ours and signal.getsignal(signal.SIGINT) == self._take:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.asked and (kind is None or not issubclass(kind, KeyboardInterrupt)):
            raise KeyboardInterrupt

    def _take(self, _: int, __: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def checked_rounds(rounds: object) -> int:
    """Return `rounds` if it is a whole number of at least 0; else raise ExperimentError."""
    if isinstance(rounds, int) and not isinstance(rounds, bool) and rounds >= 0:
        return rounds
    raise ExperimentError(
        f"the run was given {rounds!r} as a number of rounds; expected a whole number of at least 0. Correct it."
    )
