"""A custom agent: gradient descent with momentum. Its numbers are bitwise equal to those of `torch.optim.SGD`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Momentum:
    """The velocity becomes `momentum` times itself plus the response. The step is minus `lr` times the velocity."""

    def __init__(self, parameters: Sequence[Tensor], lr: float = 0.001, momentum: float = 0.0) -> None:
        self._parameters, self._lr, self._momentum = parameters, lr, momentum
        self._velocity = [torch.zeros_like(each) for each in parameters]
        self._heard = [torch.zeros_like(each) for each in parameters]

    def hear(self, response: Sequence[Tensor]) -> None:
        """Add the response to those received since the last move."""
        for heard, each in zip(self._heard, response, strict=True):
            heard.add_(each)

    def move(self) -> Sequence[Tensor]:
        """Update the parameters in place and return them."""
        with torch.no_grad():
            for parameter, velocity, heard in zip(self._parameters, self._velocity, self._heard, strict=True):
                velocity.mul_(self._momentum).add_(heard)
                parameter.sub_(velocity, alpha=self._lr)
                heard.zero_()
        return self._parameters

    def state(self) -> dict[str, Any]:
        """A copy of the velocity."""
        return {"velocity": [each.clone() for each in self._velocity]}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self._velocity = [each.clone() for each in state["velocity"]]
