"""Extragradient: a step ahead to look at the gradient there, and a step with that gradient from where one was.

Korpelevich (1976), The extragradient method for finding saddle points. Gidel et al. (2019), A variational inequality
perspective on generative adversarial networks, for Adam as the base.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.agents.torch_agent import TorchAgent
from antiphon.grammars.oracle import State


@final
class Extragradient:
    """Uses two rounds for each step of a torch optimizer: one to look ahead, one to move.

    After the first round the player plays the point that the optimizer would reach. After the second it goes back, and
    the optimizer moves it with the gradient heard at that point. All players of a game must be in step: each needs this
    agent, and the same rounds in which it moves. base: the optimizer's name; arguments: its arguments.
    """

    def __init__(self, parameters: Sequence[Tensor], base: str = "SGD", **arguments: Any) -> None:  # Any: as torch
        self._parameters, self._from = parameters, None
        self._optimizer = TorchAgent(parameters, optimizer=base, arguments=arguments)

    def hear(self, response: Sequence[Tensor]) -> None:
        """Receive a gradient at the played parameters. Several responses before a move add up."""
        self._optimizer.hear(response)

    @torch.no_grad()
    def move(self) -> Sequence[Tensor]:
        """Look ahead, or go back and move. Updates the parameters in place, and returns them."""
        if self._from is None:
            self._from = [each.detach().clone() for each in self._parameters]
        else:
            for parameter, before in zip(self._parameters, self._from, strict=True):
                parameter.copy_(before)
            self._from = None
        return self._optimizer.move()

    def state(self) -> State:
        """Return copies of the point to go back to, if the player looks ahead, and of the state of the optimizer."""
        before = None if self._from is None else [each.clone() for each in self._from]
        return {"from": before, "optimizer": self._optimizer.state()}

    def load(self, state: State) -> None:
        """Continue from a state."""
        before = state["from"]
        self._from = None if before is None else [each.clone() for each in before]
        self._optimizer.load(state["optimizer"])
