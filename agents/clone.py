"""A copy of a player that follows it slowly: the target network of actor-critic methods."""

import copy
from typing import final

import torch

from antiphon.agents.player import Player
from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import State


@final
class Clone:
    """A copy of a player's module, without gradients, that moves only by `follow`.

    soft: the fraction of the way to the player that one step goes, target += soft * (source - target); None copies.
    When to follow is the schedule's affair. Raises ExperimentError unless 0 < soft <= 1.
    """

    def __init__(self, player: Player, soft: float | None = None) -> None:
        if soft is not None and not 0 < soft <= 1:
            raise ExperimentError(
                f"the clone of player {player.name!r} was given soft={soft}; expected 0 < soft <= 1, or None. "
                "Give the fraction of the way that one step goes."
            )
        self.soft = soft
        self.follows = 0
        self.module = copy.deepcopy(player.module).requires_grad_(False)
        self._parameters = tuple(zip(self.module.parameters(), player.module.parameters(), strict=True))
        self._buffers = tuple(zip(self.module.buffers(), player.module.buffers(), strict=True))

    @torch.no_grad()
    def follow(self) -> None:
        """Step towards the player; what cannot be averaged (buffers, integers) is copied."""
        self.follows += 1
        for target, source in self._parameters:
            if self.soft is None or not target.is_floating_point():
                target.copy_(source)
            else:
                target.lerp_(source, self.soft)
        for target, source in self._buffers:
            target.copy_(source)

    def state(self) -> State:
        """The copy's parameters and buffers, and how often it was asked to follow; in memory of its own."""
        tensors = (*self.module.named_parameters(), *self.module.named_buffers())
        return {"tensors": {name: tensor.clone() for name, tensor in tensors}, "follows": self.follows}

    @torch.no_grad()
    def load(self, state: State) -> None:
        """Continue exactly from `state`, in place."""
        for name, tensor in (*self.module.named_parameters(), *self.module.named_buffers()):
            tensor.copy_(state["tensors"][name])
        self.follows = state["follows"]
