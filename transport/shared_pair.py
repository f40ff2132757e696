"""The objects that two workers of one machine share: memory for the values of their edges, and a pipe each way.

The pipes carry signals. Memory and pipes have no names, so no other process can open them. The kernel frees them with
the last process that holds them, also after a crash.
"""

import fcntl
import io
import mmap
import os
import select
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple, final

from torch import Tensor

from antiphon.transport.codec import CHECKSUM_AT, TAG_BYTES
from antiphon.transport.memory import ALIGNMENT, tensor_over
from antiphon.transport.message import Edge

SLOTS = 3
"""Buffers of an edge: the receiver reads one, and the sender may be two messages ahead."""

_SIGNAL = struct.Struct("=I")
_SIGNALS_READ = 4096  # bytes: a multiple of a signal's


class EdgeBuffer(NamedTuple):
    """One buffer of an edge: the value, and the tag, which follows it in memory.

    covered: the part that the tag's checksum covers.
    """

    value: Tensor
    tag: memoryview
    covered: memoryview


class SharedLayout:
    """The positions of all buffers in the memory block that two workers share.

    Both workers compute the positions from their common edges.
    """

    def __init__(self, edges: Sequence[Edge]) -> None:
        self.edges = sorted(edges, key=lambda edge: edge.number)
        self.starts, self.size = {}, 0
        for edge in self.edges:
            self.starts[edge.number] = self.size
            self.size += SLOTS * _stride(edge)

    def slots(self, memory: memoryview, edge: Edge) -> list[EdgeBuffer]:
        """Return the buffers of an edge, as views of `memory`.

        memory: the block that two workers share, of the size that this layout needs.
        """
        return [self._slot(memory, edge, self.starts[edge.number] + slot * _stride(edge)) for slot in range(SLOTS)]

    def lane(self, edge: Edge) -> int:
        """Return the number of one of the edge's two signals: a message of this edge has arrived.

        The other signal has the next number: a buffer of this edge is free again.
        """
        return 2 * self.edges.index(edge)

    def _slot(self, memory: memoryview, edge: Edge, start: int) -> EdgeBuffer:
        end = start + edge.bytes
        value, tag = tensor_over(memory, edge.dtype, edge.shape, start), memory[end : end + TAG_BYTES]
        return EdgeBuffer(value, tag, memory[start : end + CHECKSUM_AT])


class Gone(Exception):
    """Raised when one of two workers that share memory has closed its end of the pipes."""


@final
class Closing:
    """Closes the shared memory and pipes of pairs of workers. First it wakes a thread that waits on them."""

    def __init__(self) -> None:
        self.begun, self.waiting, self.descriptor = False, threading.Lock(), os.eventfd(0)

    def close(self, pairs: "Sequence[SharedPair]") -> None:
        """Wake the threads that wait on a pair in `pairs`, and close all of these pairs. May be called twice."""
        if self.begun:
            return
        self.begun = True
        os.eventfd_write(self.descriptor, 1)
        with self.waiting:
            for pair in pairs:
                pair.close()
            os.close(self.descriptor)


@final
class SharedPair:
    """The memory that this worker shares with one peer, and a pipe in each direction.

    A signal is a number that is written to a pipe. Each edge has two signals: "a message has arrived" and "a buffer is
    free". A worker that has read a signal sees all memory that the peer wrote before it sent the signal.
    """

    def __init__(self, layout: SharedLayout, descriptors: Sequence[int], deadline: float, closing: Closing) -> None:
        """Map the memory. descriptors: descriptors of the memory, of the pipe to read, and of the pipe to write.

        The caller may close the descriptors afterwards. deadline: seconds that a wait may last.
        """
        memory, reading, writing = descriptors
        self.layout, self._deadline, self._closing = layout, deadline, closing
        self.memory = memoryview(mmap.mmap(memory, layout.size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE))
        self._reading, self._writing = io.FileIO(os.dup(reading), "r"), io.FileIO(os.dup(writing), "w")
        self._words = [_SIGNAL.pack(lane) for lane in range(2 * len(layout.edges))]
        self.ready = [0] * len(self._words)
        self._poll = select.poll()
        self._poll.register(self._reading, select.POLLIN)
        self._poll.register(closing.descriptor, select.POLLIN)

    def signal(self, lane: int) -> None:
        """Send the signal with number `lane` to the peer.

        Never blocks: the pipe has room for the signals of all buffers.
        """
        try:
            self._writing.write(self._words[lane])
        except (BrokenPipeError, ValueError) as error:  # ValueError: closed by another thread
            raise Gone from error

    def wait(self, lane: int) -> None:
        """Wait for the signal with number `lane`. Raises TimeoutError at the deadline, Gone if a worker has closed."""
        if not self.ready[lane]:
            with self._closing.waiting:
                self._read_until(lane)
        self.ready[lane] -= 1

    def close(self) -> None:
        """Close the pipes; a peer that waits gets an error. The memory exists as long as a tensor that uses it."""
        self._reading.close()
        self._writing.close()

    def _read_until(self, lane: int) -> None:
        seconds, ready = self._deadline, self.ready
        end = 0.0
        while not ready[lane]:
            if not self._poll.poll(seconds * 1000):
                raise TimeoutError
            signals = b"" if self._closing.begun else self._reading.read(_SIGNALS_READ)
            if not signals:
                raise Gone
            for each in memoryview(signals).cast("I"):
                ready[each] += 1
            if not ready[lane]:  # signals of other lanes do not prolong the wait
                end = end or time.monotonic() + seconds
                seconds = max(end - time.monotonic(), 0)


def pipes(scope: ExitStack, layout: SharedLayout) -> tuple[tuple[int, int], tuple[int, int]]:
    """Make a pipe in each direction. Return the descriptors (to read, to write) for this worker, and for the peer.

    The descriptors are closed at the end of `scope`.
    """
    (reading, their_writing), (their_reading, writing) = os.pipe(), os.pipe()
    for each in (reading, their_writing, their_reading, writing):
        scope.callback(os.close, each)
    needed = 2 * SLOTS * len(layout.edges) * _SIGNAL.size
    for end in (writing, their_writing):
        if fcntl.fcntl(end, fcntl.F_GETPIPE_SZ) < needed:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, needed)
    return (reading, writing), (their_reading, their_writing)


def _stride(edge: Edge) -> int:
    return -(-(edge.bytes + TAG_BYTES) // ALIGNMENT) * ALIGNMENT
