"""Operators that strike their own process, or wait for a fault, so that the moment of the fault is known exactly."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn


class StruckOnce(nn.Linear):
    """A linear layer that kills, stops or hangs its own process in one forward pass, unless the file `sign` exists.

    at: number of the forward pass, which is that of the round if the player is asked once a round. how: "kill",
    "segfault", "stop" or "hang". The file is made first, so that the next process does not strike. With "" for `sign`,
    each process does.
    """

    def __init__(self, inputs: int, outputs: int, sign: str, at: int, how: str) -> None:
        super().__init__(inputs, outputs)
        self._sign, self._left, self._how = Path(sign) if sign else None, at, how

    def forward(self, input: Tensor) -> Tensor:
        """Compute the linear layer."""
        if self._left == 0 and not (self._sign and self._sign.exists()):
            if self._sign:
                self._sign.touch()
            if self._how == "hang":
                time.sleep(1000)
            if self._how == "segfault":
                ctypes.string_at(0)
            os.kill(os.getpid(), signal.SIGKILL if self._how == "kill" else signal.SIGSTOP)
        self._left -= 1
        return super().forward(input)


class WaitsInLoading(nn.Linear):
    """A linear layer. When it gets a state, it makes the file `loading` in `folder`, and waits for the file `go`."""

    def __init__(self, inputs: int, outputs: int, folder: str) -> None:
        super().__init__(inputs, outputs)
        self._folder = Path(folder)

    def _load_from_state_dict(self, *arguments: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        (self._folder / "loading").touch()
        while not (self._folder / "go").exists():
            time.sleep(0.01)
        super()._load_from_state_dict(*arguments)
