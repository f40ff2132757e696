"""Keeps the parameters that a module had at the start of the last rounds (weight stashing: PipeDream, 2019)."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from antiphon.grammars.oracle import State


@final
class PastParameters:
    """The parameters of a module at the start of the last rounds, each in a module of its own.

    live: the module whose parameters the moves change. modules: copies of it that share no tensor with it or with each
    other; their number is the number of rounds to keep. At first, all copies hold the initial parameters.
    """

    def __init__(self, live: nn.Module, modules: Sequence[nn.Module]) -> None:
        self._live, self._modules = tuple(live.parameters()), tuple(modules)

    def at(self, round: int) -> nn.Module:
        """Return the module with the parameters from the start of `round`. Later rounds use the same module again.

        A negative round has the initial parameters.
        """
        return self._modules[round % len(self._modules)]

    @torch.no_grad()
    def keep(self, round: int) -> None:
        """Copy the current parameters, which are those at the start of `round`, over the oldest kept parameters."""
        for own, newest in zip(self._held(round), self._live, strict=True):
            own.copy_(newest)

    def state(self) -> State:
        """Return copies of the parameters of all kept rounds: a list of tensors for each module."""
        return {"kept": [[each.detach().clone() for each in self._held(index)] for index in range(len(self._modules))]}

    @torch.no_grad()
    def load(self, state: State) -> None:
        """Continue with kept parameters that `state` returned, in place."""
        for index in range(len(self._modules)):
            for own, saved in zip(self._held(index), state["kept"][index], strict=True):
                own.copy_(saved)

    def _held(self, round: int) -> list[Tensor]:
        return list(self.at(round).parameters())
