"""A copy of a player that follows it slowly: the target network of actor-critic methods."""

import copy
from typing import final

import torch
from torch import nn

from antiphon.agents.player import Player
from antiphon.grammars.module_state import keeps_extra_state, load_module, module_state
from antiphon.grammars.oracle import State


@final
class Clone:
    """A copy of a player's module, without gradients, that moves only by `follow`.

    soft: the fraction of the way to the player that one step goes, target += soft * (source - target); None copies.
    When to follow is the schedule's affair.
    """

    def __init__(self, player: Player, soft: float | None = None) -> None:
        self.soft, self._of = soft, player.name
        self.follows = 0
        self.module = player.twin().requires_grad_(False)
        self._parameters = tuple(zip(self.module.parameters(), player.module.parameters(), strict=True))
        # The tables of buffers, not the buffers: a forward pass may replace one by another tensor.
        self._pairs = tuple(zip(self.module.modules(), player.module.modules(), strict=True))
        self._further = tuple(pair for pair in self._pairs if keeps_extra_state(pair[1]))

    @torch.no_grad()
    def follow(self) -> None:
        """Step towards the player; what cannot be averaged (buffers, integers, extra state) is copied."""
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
        """The copy's parameters and buffers, its module's extra state, and how often it was asked to follow."""
        state = module_state(self.module)
        return {
            "tensors": {**state["parameters"], **state["buffers"]},
            "extra": state["extra"],
            "follows": self.follows,
        }

    def load(self, state: State) -> None:
        """Continue exactly from `state`, in place. Raises ShapeError when it is of another module."""
        load_module(f"the clone of player {self._of!r}", self.module, state)
        self.follows = state["follows"]


def _copy_buffers(target: nn.Module, source: nn.Module) -> None:
    """In place where both have tensors of one type; else as the source has it now."""
    for gone in target._buffers.keys() - source._buffers.keys():
        del target._buffers[gone]
    for key, value in source._buffers.items():
        own = target._buffers.get(key)
        if value is None or own is None or (own.shape, own.dtype) != (value.shape, value.dtype):
            target._buffers[key] = None if value is None else value.clone()
        else:
            own.copy_(value)
