"""Optimistic descent: the last change of the parameters is expected to come again, and is made twice.

Rakhlin and Sridharan (2013), Optimization, learning, and games with predictable sequences. Daskalakis et al. (2018),
Training GANs with optimism, for the optimistic Adam.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.agents.torch_agent import TorchAgent
from antiphon.grammars.oracle import State


@final
class Optimistic:
    """Plays x_t = y_t + (y_t - y_{t-1}), where a torch optimizer moves y with the gradients at x.

    base: the optimizer's name; arguments: its arguments. With "SGD" and lr = eta, x changes by -2 eta g_t + eta
    g_{t-1}: optimistic gradient descent, or optimistic mirror descent with the Euclidean norm. With "Adam": optimistic
    Adam.
    """

    def __init__(self, parameters: Sequence[Tensor], base: str = "SGD", **arguments: Any) -> None:  # Any: as torch
        self._parameters = parameters
        self._base = [each.detach().clone() for each in parameters]
        self._optimizer = TorchAgent(self._base, optimizer=base, arguments=arguments)

    def hear(self, response: Sequence[Tensor]) -> None:
        """Receive a gradient at the played parameters. Several responses before a move add up."""
        self._optimizer.hear(response)

    @torch.no_grad()
    def move(self) -> Sequence[Tensor]:
        """Update the parameters in place, and return them."""
        before = [each.clone() for each in self._base]
        self._optimizer.move()
        for parameter, now, then in zip(self._parameters, self._base, before, strict=True):
            parameter.copy_(2 * now - then)
        return self._parameters

    def state(self) -> State:
        """Return copies of the point y and of the state of the optimizer."""
        return {"base": [each.clone() for each in self._base], "optimizer": self._optimizer.state()}

    def load(self, state: State) -> None:
        """Continue from a state."""
        with torch.no_grad():
            for each, saved in zip(self._base, state["base"], strict=True):
                each.copy_(saved)
        self._optimizer.load(state["optimizer"])
