"""A replacement of NCCL within one process, so that code that uses NCCL can be tested without a GPU."""

import threading
import uuid
from collections import deque
from datetime import timedelta
from typing import TypeAlias, final

from torch import Tensor

from antiphon.transport.c10d import Store
from antiphon.transport.message import Session


@final
class StandInWork:
    """An operation of the replaced NCCL that may be unfinished: a send, a receive, or one rank's part of an all-reduce.

    It has the methods of torch's `Work`.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self._ended, self._error = tensor, threading.Event(), ""

    def end(self, error: str = "") -> None:
        """Mark the operation as finished. error: why it failed; empty if it succeeded."""
        self._error = error
        self._ended.set()

    def is_completed(self) -> bool:
        """Whether the operation has finished or failed."""
        return self._ended.is_set()

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Wait until the operation has finished. Raises RuntimeError if it fails or times out, as torch does."""
        if not self._ended.wait(timeout.total_seconds() if timeout else None):
            raise RuntimeError("Operation timed out")
        if self._error:
            raise RuntimeError(self._error)
        return True


Key: TypeAlias = tuple[str, int, int]
"""The name of a group, the rank that sends, and the rank that receives."""


@final
class StandIn:
    """A replacement of NCCL: all groups of ranks of one process. The method `make` can be passed as a `MakeGroup`.

    As with NCCL, messages have no tags: the n-th receive of a pair of ranks gets the message of the n-th send. Both
    must have the same shape. A send finishes when its message is received. If a rank aborts, its unfinished operations
    and those of its peers fail, as with NCCL over a network.
    pairs: (sender, receiver) of each pair of ranks that was used.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Key, tuple[deque[StandInWork], deque[StandInWork]]] = {}
        self._terms: dict[str, list[deque[StandInWork]]] = {}
        self._gone: set[tuple[str, int]] = set()
        self.pairs: set[tuple[int, int]] = set()

    def make(self, store: Store, rank: int, size: int, session: Session) -> "StandInGroup":
        """Return the group object of one rank. The first rank that calls `make` on this store names the group."""
        return StandInGroup(self, store.compare_set("group", "", uuid.uuid4().hex).decode(), rank, size)

    def post(self, key: Key, tensor: Tensor, receives: bool) -> StandInWork:
        """Start a send or a receive. The message is copied when both have been posted."""
        group, source, target = key
        work = StandInWork(tensor)
        with self._lock:
            self.pairs.add((source, target))
            if {(group, source), (group, target)} & self._gone:
                work.end("remote process exited or there was a network error")
                return work
            waiting = self._waiting.setdefault(key, (deque(), deque()))
            waiting[receives].append(work)
            while all(waiting):
                _meet(*(each.popleft() for each in waiting))
        return work

    def add(self, group: str, size: int, rank: int, tensor: Tensor) -> StandInWork:
        """Start one rank's part of an all-reduce (a sum).

        The sum is computed when every rank has posted its next tensor.
        """
        work = StandInWork(tensor)
        with self._lock:
            terms = self._terms.setdefault(group, [deque() for _ in range(size)])
            terms[rank].append(work)
            if any((group, each) in self._gone for each in range(size)):
                work.end("remote process exited or there was a network error")
            elif all(terms):
                _add([each.popleft() for each in terms])
        return work

    def abort(self, group: str, rank: int) -> None:
        """Let all unfinished operations of this rank fail, and all operations of other ranks that need this rank."""
        with self._lock:
            self._gone.add((group, rank))
            for work in [work for terms in self._terms.get(group, []) for work in terms]:
                work.end("remote process exited or there was a network error")
            for (name, *ends), waiting in self._waiting.items():
                while name == group and rank in ends and any(waiting):
                    (waiting[0] or waiting[1]).popleft().end("remote process exited or there was a network error")


@final
class StandInGroup:
    """One rank's member of a group of the replacement of NCCL. It has the methods of torch's process group."""

    def __init__(self, shared: StandIn, name: str, rank: int, size: int) -> None:
        self._shared, self._name, self._rank, self._size = shared, name, rank, size

    def send(self, tensors: list[Tensor], rank: int, tag: int) -> StandInWork:
        """Start a send. The tag is ignored, as by NCCL."""
        return self._shared.post((self._name, self._rank, rank), tensors[0], receives=False)

    def recv(self, tensors: list[Tensor], rank: int, tag: int) -> StandInWork:
        """Start a receive. The tag is ignored, as by NCCL."""
        return self._shared.post((self._name, rank, self._rank), tensors[0], receives=True)

    def allreduce(self, tensors: list[Tensor]) -> StandInWork:
        """Start a sum over all ranks. The tensor becomes the sum."""
        return self._shared.add(self._name, self._size, self._rank, tensors[0])

    def abort(self) -> None:
        """Leave the group. Unfinished operations with this rank fail."""
        self._shared.abort(self._name, self._rank)


def _add(terms: list[StandInWork]) -> None:
    total = sum((work.tensor for work in terms[1:]), terms[0].tensor)
    for work in terms:
        work.tensor.copy_(total)
        work.end()


def _meet(source: StandInWork, target: StandInWork) -> None:
    if source.tensor.shape != target.tensor.shape:
        source.end("message sizes differ")
        target.end("message sizes differ")
        return
    target.tensor.copy_(source.tensor)
    source.end()
    target.end()
