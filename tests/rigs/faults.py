"""Operators that strike their own process, so that the round of a fault is known exactly."""

import os
import signal
import time
from pathlib import Path

from torch import Tensor, nn


class StruckOnce(nn.Linear):
    """A linear layer that kills, stops or hangs its own process in one forward pass, unless the file `sign` exists.

    at: number of the forward pass, which is that of the round if the player is asked once a round. how: "kill", "stop"
    or "hang". The file is made first, so that the next process does not strike. With "" for `sign`, each process does.
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
            os.kill(os.getpid(), signal.SIGKILL if self._how == "kill" else signal.SIGSTOP)
        self._left -= 1
        return super().forward(input)
