"""The all-reduce of a process group (gloo or NCCL), which adds a value over replicas."""

import math
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.errors import AntiphonError, DeadlineError, ProtocolError, ShapeError, TransportError
from antiphon.transport.c10d import Work
from antiphon.transport.link import brief
from antiphon.transport.message import Reduction, Session, phase_name, value_type

_STAMP = 2
"""The length of the stamp, in elements.

A stamp follows each value: the round (modulo a number, to keep sums exact), and 1. The sums of all stamps show whether
every worker contributed once, to the same round. The bytes of a tag cannot be summed.
"""


@final
class AllReduce:
    """One worker's part in an all-reduce that is done once a round.

    It has two buffers: the reader of the last result uses one, the other is for the all-reduce in progress.
    group: a process group of the reduction's workers, in their order. buffers: two, of `length` elements each, on the
    group's device. finish: a function that waits for an operation up to the deadline; it raises RuntimeError.
    """

    def __init__(
        self,
        session: Session,
        me: str,
        group: Any,  # Any: gloo's and NCCL's groups have no common type with stubs
        reduction: Reduction,
        buffers: Sequence[Tensor],
        finish: Callable[[Work], None],
    ) -> None:
        self._session, self._me, self._group, self._reduction = session, me, group, reduction
        self._buffers, self._finish = list(buffers), finish
        self._count = int(1 / torch.finfo(reduction.dtype).eps) // len(reduction.workers)
        self._work: Work | None = None

    @staticmethod
    def length(reduction: Reduction) -> int:
        """Return the number of elements of a buffer: elements of the value, plus elements of the stamp after it."""
        return math.prod(reduction.shape) + _STAMP

    def contribute(self, round: int, value: Tensor) -> int:
        """Copy this worker's term into a buffer and start the all-reduce. Returns the bytes to send."""
        self._check(value)
        buffer = self._buffers[0]
        buffer[:-_STAMP].copy_(value.detach().reshape(-1))
        buffer[-2], buffer[-1] = round % self._count, 1
        try:
            self._work = self._group.allreduce([buffer])
        except RuntimeError as error:
            raise self._fault(round, error) from error
        return buffer.numel() * buffer.element_size()

    def collect(self, round: int) -> Tensor:
        """Wait for the all-reduce, check that every worker contributed once to this round, and return the sum."""
        work, self._work = self._work, None
        if work is None:
            raise ProtocolError(
                f"worker {self._me!r} was to collect the sum {self._reduction.name!r} of round {round} without having "
                "contributed; expected its own term first. Play the steps in the schedule's order."
            )
        try:
            self._finish(work)
        except RuntimeError as error:
            raise self._fault(round, error) from error
        self._buffers.reverse()
        total = self._buffers[1]
        self._expect(round, *total[-_STAMP:].tolist())
        return total[:-_STAMP].view(self._reduction.shape)

    def _expect(self, round: int, rounds: float, terms: float) -> None:
        members = len(self._reduction.workers)
        if (rounds, terms) != (members * (round % self._count), members):
            raise ProtocolError(
                f"worker {self._me!r} refused the sum {self._reduction.name!r}: expected {members} terms of round "
                f"{round}; arrived {terms:g} terms whose rounds sum to {rounds:g}. "
                "A worker lost or skipped a round: restore all workers from the same checkpoint."
            )

    def _check(self, value: Tensor) -> None:
        expected = self._reduction.dtype, self._reduction.shape
        if (value.dtype, tuple(value.shape)) != expected:
            raise ShapeError(
                f"worker {self._me!r} was to contribute {value_type(*expected)} to {self._reduction.name!r}; arrived "
                f"{value_type(value.dtype, tuple(value.shape))}. Deliver one number per parameter."
            )

    def _fault(self, round: int, error: RuntimeError) -> AntiphonError:
        others = " and ".join(repr(worker) for worker in self._reduction.workers if worker != self._me)
        what = f"{self._reduction.name!r} ({phase_name(self._reduction.phase)} phase, round {round})"
        if "timed out" in str(error).lower():
            return DeadlineError(
                f"worker {self._me!r} waited {self._session.deadline:g} s for {others} to contribute to {what}. "
                "Look at what they are doing, or raise the deadline."
            )
        return TransportError(
            f"worker {self._me!r} lost {others} in the sum {what}: {brief(str(error))}. "
            "Restart the lost worker and open the channels of the next generation."
        )
