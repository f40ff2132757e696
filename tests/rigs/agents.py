"""A hand-written agent, like one that a user writes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from antiphon.grammars.oracle import State


class Momentum:
    """An agent for tests: gradient descent with momentum.

    It returns new tensors, and does not change those it was given.
    """

    def __init__(self, parameters: Sequence[Tensor], rate: float = 0.1, inertia: float = 0.5) -> None:
        self.rate, self.inertia = rate, inertia
        self.parameters = [parameter.detach().clone() for parameter in parameters]
        self.velocity = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.heard = [torch.zeros_like(parameter) for parameter in self.parameters]

    def hear(self, response: Sequence[Tensor]) -> None:
        self.heard = [heard + tensor for heard, tensor in zip(self.heard, response, strict=True)]

    def move(self) -> Sequence[Tensor]:
        self.velocity = [self.inertia * old + new for old, new in zip(self.velocity, self.heard, strict=True)]
        self.parameters = [old - self.rate * v for old, v in zip(self.parameters, self.velocity, strict=True)]
        self.heard = [torch.zeros_like(parameter) for parameter in self.parameters]
        return [parameter.clone() for parameter in self.parameters]

    def state(self) -> State:
        return {"velocity": [velocity.clone() for velocity in self.velocity]}

    def load(self, state: State) -> None:
        self.velocity = [velocity.clone() for velocity in state["velocity"]]
