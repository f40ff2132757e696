"""What channels need of a device: pinned host memory, a point in its work to wait for, and a look beside its work.

On the CPU each of them is the trivial one, so everything that is built on them runs there too, as it stands.
"""

from collections.abc import Sequence
from typing import Any, Protocol, final

import torch
from torch import Tensor

from antiphon.transport.memory import aligned


def host_memory(size: int, device: torch.device) -> memoryview:
    """Host memory of `size` bytes, 64-byte aligned; pinned where it is to be copied to or from a CUDA device.

    Pinned memory lies at page boundaries, so it is aligned.
    """
    if device.type != "cuda" or size == 0:
        return aligned(size)
    pinned = torch.empty(size, dtype=torch.uint8, pin_memory=True)
    buffer: Any = pinned.numpy()  # Any: a buffer, which the stubs do not know
    return memoryview(buffer)


class Fence(Protocol):
    """A point in the work that a device was given."""

    def record(self) -> None:
        """Set it behind what the current stream was given so far."""
        ...

    def wait(self) -> None:
        """Hold the host until the work before it is done; at once if it was never set."""
        ...


@final
class _HostFence:
    """On the CPU work is done when it is given."""

    def record(self) -> None:
        """Nothing is under way."""

    def wait(self) -> None:
        """Nothing to wait for."""


@final
class _CudaFence:
    """An event on the current stream of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._event = device, torch.cuda.Event()

    def record(self) -> None:
        """Record the event."""
        self._event.record(torch.cuda.current_stream(self._device))

    def wait(self) -> None:
        """Synchronize with the event."""
        self._event.synchronize()


def fence(device: torch.device) -> Fence:
    """A fence for work on this device."""
    return _CudaFence(device) if device.type == "cuda" else _HostFence()


@final
class Glance:
    """Reads a few numbers that are known to lie on a device, without waiting for what it computes meanwhile."""

    def __init__(self, device: torch.device, count: int) -> None:
        cuda = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if cuda else None
        self._host = torch.zeros(count, dtype=torch.int64, pin_memory=cuda)

    def __call__(self, numbers: Tensor) -> Sequence[int]:
        """The numbers, an int64 vector of the announced length."""
        if self._stream is None:
            return numbers.tolist()
        with torch.cuda.stream(self._stream):
            self._host.copy_(numbers, non_blocking=True)
        self._stream.synchronize()
        return self._host.tolist()
