"""A copy of a player that follows the player slowly: the target network of actor-critic methods."""

import copy
from typing import final

import torch
from torch import nn

from antiphon.agents.player import Player
from antiphon.grammars.module_state import keeps_extra_state, load_module, module_state
from antiphon.grammars.oracle import State


@final
class Clone:
    """A copy of a player's module without gradients (a target network). Only `follow` changes the copy; the schedule
    calls it.

    soft: `follow` makes the step copy += soft * (player - copy). With None, `follow` copies the player's parameters.
    """

    def __init__(self, player: Player, soft: float | None = None) -> None:
        self.soft, self._of = soft, player.name
        self.follows = 0
        self.module = player.twin().requires_grad_(False)
        self._parameters = tuple(zip(self.module.parameters(), player.module.parameters(), strict=True))
        # Pairs of modules, not of buffers, because a forward pass may replace a buffer by another tensor.
        self._pairs = tuple(zip(self.module.modules(), player.module.modules(), strict=True))
        self._further = tuple(pair for pair in self._pairs if keeps_extra_state(pair[1]))

    @torch.no_grad()
    def follow(self) -> None:
        """Move the copy's parameters one step towards the player's parameters.

        Buffers, integers and extra state are copied instead, because they cannot be averaged.
        """
        self.follows += 1
        for target, source in self._parameters:
            if self.soft is None or not (target.is_floating_point() or target.is_complex()):
                target.copy_(source)
            else:
                target.lerp_(source, self.soft)
        for target, source in self._pairs:
            if source._buffers or target._buffers:
                _copy_buffers(target, source)
        for target, source in self._further:
            target.set_extra_state(copy.deepcopy(source.get_extra_state()))

    def state(self) -> State:
        """Return parameters, buffers and extra state of the copy, and the number of steps (calls of `follow`) so
        far.
        """
        return {**module_state(self.module), "follows": self.follows}

    def load(self, state: State) -> None:
        """Continue exactly from a saved state; tensors change in place.

        Raises ShapeError if the state is of another module.
        """
        load_module(f"the clone of player {self._of!r}", self.module, state)
        self.follows = state["follows"]


def _copy_buffers(target: nn.Module, source: nn.Module) -> None:
    """Copy the buffers of `source`: in place where shape and dtype agree, else into a new tensor."""
    for gone in target._buffers.keys() - source._buffers.keys():
        del target._buffers[gone]
    for key, value in source._buffers.items():
        own = target._buffers.get(key)
        if value is None or own is None or (own.shape, own.dtype) != (value.shape, value.dtype):
            target._buffers[key] = None if value is None else value.clone()
        else:
            own.copy_(value)
