"""Change parameters and buffers at random, so that a wrong gradient is not equal to the right one by coincidence."""

import math
from typing import Any

import torch
from torch import Tensor

from antiphon.checks.recorded import States, is_inexact
from antiphon.grammars import Grammar
from antiphon.grammars.seeds import stream

SPREAD = 0.4
"""Standard deviation of the random change of a number, relative to the size of the numbers in the same tensor."""


def perturbed(grammar: Grammar, states: States, seed: int, size: float = 1.0, buffers: bool = True) -> States:
    """Return a copy of `states` with independent random changes of the parameters and buffers of players and clones.

    Initial values can hide an error: an adapter that starts at zero, a clone that equals its player, weights that start
    as the identity. The change keeps properties that a module may rely on: shapes, the sign of a tensor whose numbers
    all have the same sign, integers, booleans, and buffers of zeros and ones (masks). Agents and oracles do not change.

    states: the state of each player, clone and oracle, by name.
    size: factor of the change; 1 is large. buffers: whether buffers are changed too.
    """
    found = dict(states)
    for each in (*grammar.query.players, *grammar.query.clones):
        draw = torch.Generator().manual_seed(stream(seed, "perturbed", each.name))
        state = states[each.name]
        changed = {"parameters": {name: _parameter(value, draw, size) for name, value in state["parameters"].items()}}
        if buffers:
            changed["buffers"] = {name: _buffer(value, draw, size) for name, value in state["buffers"].items()}
        found[each.name] = {**state, **changed}
    return found


def _parameter(value: Any, draw: torch.Generator, size: float) -> Any:  # Any: a tensor, or what else a state may hold
    if not isinstance(value, Tensor) or not is_inexact(value) or not value.numel():
        return value
    if not value.is_complex() and (bool((value > 0).all()) or bool((value < 0).all())):
        return _scaled(value, draw, size)
    finite = value.isfinite()  # a mask of -inf stays a mask
    scale = float(value[finite].abs().square().mean().sqrt()) or math.prod(value.shape[1:]) ** -0.5
    noise = SPREAD * size * scale * torch.randn(value.shape, generator=draw, dtype=value.dtype)
    if value.ndim > 1 and value.any():  # rows of zeros beside others are padding, which gets no gradient in torch
        noise[(value == 0).flatten(1).all(1)] = 0
    return torch.where(finite, value + noise, value)


def _buffer(value: Any, draw: torch.Generator, size: float) -> Any:  # Any: as above
    """Return a buffer with random changes.

    Numbers keep their sign. A buffer of zeros becomes small positive numbers. Integers and masks do not change.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point() or not value.numel():
        return value
    if not value.any():
        return SPREAD * size * torch.rand(value.shape, generator=draw, dtype=value.dtype)
    mask = bool(((value == 0) | (value == 1)).all()) and bool((value == 0).any())
    return value if mask else _scaled(value, draw, size)


def _scaled(value: Tensor, draw: torch.Generator, size: float) -> Tensor:
    return value * (SPREAD * size * torch.randn(value.shape, generator=draw, dtype=value.dtype)).exp()
