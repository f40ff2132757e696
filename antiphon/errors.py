"""The classes of all errors that antiphon raises. This module imports no other module of antiphon."""

from typing import Any


class AntiphonError(Exception):
    """Base class of all antiphon errors. Each message names the part, what it expected, what arrived, and the remedy.

    worker, round: the worker and the round in which the error happened; "" and -1 if it happened outside a round.
    """

    worker: str = ""
    round: int = -1


class GrammarError(AntiphonError):
    """A grammar cannot be constructed, because its graphs or promises contain an error."""


class ShapeError(GrammarError):
    """The shape or dtype of a value does not match the edge that carries it."""


class BlackBoxError(GrammarError):
    """A gradient was requested from an oracle that only answers values (essay, Definition 3)."""


class ProtocolError(AntiphonError):
    """A worker received a message with another generation, round, phase or edge than expected."""


class CodecError(ProtocolError):
    """The bytes of a message cannot be decoded: they are too few or too many, or their dtype is not allowed."""


class DeadlineError(AntiphonError):
    """A wait passed its deadline. The message names the waiting worker, the other worker, the edge and the round."""


class TransportError(AntiphonError):
    """A channel could not be opened, or the process at its other end is gone."""


class AgentError(AntiphonError):
    """An agent (optimizer) broke its contract: it returned a wrong shape or dtype, or it raised an exception."""


class OracleError(AntiphonError):
    """An oracle cannot be constructed, or its answer does not match its declaration."""


class PlacementError(AntiphonError):
    """A placement contains an unknown name, or cannot be satisfied."""


class ClusterError(AntiphonError):
    """A cluster cannot be reached, refuses access, or has no run of that name."""


class VersionError(AntiphonError):
    """Two processes of one run have different versions of a package."""


class ExperimentError(AntiphonError):
    """An experiment, an argument or a run folder was refused before anything started."""


class RoundError(AntiphonError):
    """A round could not be completed.

    worker, round: where it failed. traceback: the traceback of the worker's process, as text.
    """

    def __init__(self, message: str, *, worker: str = "", round: int = -1, traceback: str = "") -> None:
        super().__init__(message)
        self.worker, self.round, self.traceback = worker, round, traceback

    def __reduce__(self) -> tuple[Any, ...]:  # Any: pickle's own shape
        return _round_error, (type(self), self.args[0], self.worker, self.round, self.traceback)


class WorkerDied(RoundError):
    """The process of a worker has ended unexpectedly."""


class WorkerStalled(WorkerDied):
    """A worker neither answers nor makes progress. Recovery treats it like a dead worker."""


class NonfiniteError(RoundError):
    """A number of a round became NaN or infinite.

    position: index, in the schedule, of the step that made the number. If several workers raise this error, the number
    with the lowest round and position was the first.
    """

    def __init__(self, message: str, *, worker: str = "", round: int = -1, position: int = -1) -> None:
        super().__init__(message, worker=worker, round=round)
        self.position = position

    def __reduce__(self) -> tuple[Any, ...]:  # Any: pickle's own shape
        return _nonfinite_error, (self.args[0], self.worker, self.round, self.position)


def _nonfinite_error(message: str, worker: str, round: int, position: int) -> NonfiniteError:
    return NonfiniteError(message, worker=worker, round=round, position=position)


def _round_error(kind: type[RoundError], message: str, worker: str, round: int, traceback: str) -> RoundError:
    return kind(message, worker=worker, round=round, traceback=traceback)


def unstopped(error: BaseException) -> str:
    """Return the text of an exception without the full stop at its end, to use it inside another sentence.

    >>> f"{unstopped(ValueError('No such map.'))}. Expected one."
    'No such map. Expected one.'
    """
    return str(error).rstrip().removesuffix(".")


FOREIGN = (Exception, SystemExit)
"""Exceptions to catch around a call of user code: an error or `sys.exit` in user code must not end the process."""
