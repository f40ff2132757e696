"""Every error that antiphon raises; a leaf that all folders may import."""

from typing import Any


class AntiphonError(Exception):
    """Root of all errors of antiphon. Each message says who, what was expected, what arrived, and the remedy.

    worker, round: where it happened, if during a round; an empty name and -1 otherwise.
    """

    worker: str = ""
    round: int = -1


class GrammarError(AntiphonError):
    """A grammar was refused at construction."""


class ShapeError(GrammarError):
    """A value's shape or dtype does not compose with the edge it is to travel on."""


class BlackBoxError(GrammarError):
    """A gradient was asked of an oracle that answers values only (essay, Definition 3)."""


class ProtocolError(AntiphonError):
    """A message broke the round: its generation, round, phase or edge is not the one expected."""


class CodecError(ProtocolError):
    """The bytes of a message do not parse: truncated, oversized, of a dtype that is not allowed."""


class DeadlineError(AntiphonError):
    """A wait passed its deadline; the message says who waited for whom, on which edge and round."""


class TransportError(AntiphonError):
    """A channel could not be opened, or its other end is gone."""


class AgentError(AntiphonError):
    """An agent broke its contract: its move has another shape or dtype, or it raised."""


class OracleError(AntiphonError):
    """An oracle cannot be made, or answered something else than it declared."""


class PlacementError(AntiphonError):
    """A placement names someone unknown, or cannot be satisfied."""


class ClusterError(AntiphonError):
    """A cluster cannot be reached, does not let us in, or has no run of that name."""


class VersionError(AntiphonError):
    """Two that are to play together are of different versions."""


class ExperimentError(AntiphonError):
    """An experiment, an argument or a run folder was refused before anything started."""


class RoundError(AntiphonError):
    """A round could not be completed; carries the worker and the round where it stopped."""

    def __init__(self, message: str, *, worker: str = "", round: int = -1, traceback: str = "") -> None:
        super().__init__(message)
        self.worker, self.round, self.traceback = worker, round, traceback

    def __reduce__(self) -> tuple[Any, ...]:  # Any: pickle's own shape
        return _round_error, (type(self), self.args[0], self.worker, self.round, self.traceback)


class WorkerDied(RoundError):
    """A worker's process is gone."""


def _round_error(kind: type[RoundError], message: str, worker: str, round: int, traceback: str) -> RoundError:
    return kind(message, worker=worker, round=round, traceback=traceback)


FOREIGN = (Exception, SystemExit)
"""What is caught around a call of a user's code, which may fail, or exit: neither is to end the process."""
