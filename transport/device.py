"""Device functions for channels: pinned host memory, fences, and reads that do not wait for a device's other work.

All functions also accept the CPU, so that code that uses them runs unchanged on CPUs.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias, final

import torch
from torch import Tensor


def host_memory(size: int, device: torch.device) -> memoryview:
    """Return `size` bytes of host memory, 64-byte aligned. It is pinned if `device` is a CUDA device.

    Pinned memory begins at a page boundary, so it is aligned.
    """
    return torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda" and size > 0).numpy().data


Fence: TypeAlias = torch.cuda.Event | torch.cpu.Event
"""A mark in a device's queue of work. The host can wait until the device has done all work before the mark.

On the CPU all work is done when a call returns.
"""


def fence(device: torch.device) -> Fence:
    """Return a fence for work on this device. Before the fence is recorded, waiting for it returns at once."""
    return torch.cuda.Event() if device.type == "cuda" else torch.cpu.Event()


def queue_of(device: torch.device) -> Any:  # Any: a stream; the stubs of the CPU have another type
    """Return the current stream of this device, on which a fence is recorded."""
    return torch.cuda.current_stream(device) if device.type == "cuda" else torch.cpu.current_stream()


@final
class Glance:
    """Reads a few numbers from a device without waiting for the device's other work.

    The numbers must already be complete on the device. count: how many numbers one call reads.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        cuda = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if cuda else None
        self._host = torch.zeros(count, dtype=torch.int64, pin_memory=cuda)

    def __call__(self, numbers: Tensor) -> Sequence[int]:
        """Return the values of `numbers`, an int64 vector of `count` elements on the device."""
        if self._stream is None:
            return numbers.tolist()
        with torch.cuda.stream(self._stream):
            self._host.copy_(numbers, non_blocking=True)
        self._stream.synchronize()
        return self._host.tolist()
