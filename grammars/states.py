"""Operations on states, which are trees of tensors and plain values."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def map_tensors(state: Any, change: Callable[[Tensor], Tensor]) -> Any:  # Any: a State, or a part of one
    """Return a copy of a state (a tree of tensors and plain values) with `change` applied to every tensor.

    >>> import torch
    >>> map_tensors({"moves": 3, "memory": [torch.zeros(2)]}, lambda tensor: tensor + 1)
    {'moves': 3, 'memory': [tensor([1., 1.])]}
    """
    if isinstance(state, Tensor):
        return change(state)
    if isinstance(state, Mapping):
        return {key: map_tensors(item, change) for key, item in state.items()}
    if isinstance(state, list):
        return [map_tensors(item, change) for item in state]
    if type(state) is tuple:
        return tuple(map_tensors(item, change) for item in state)
    return state


def own_copy(state: Any) -> Any:  # Any: see `map_tensors`
    """Return a deep copy of a state. Its tensors share no memory with `state`, and are detached from torch's graph."""
    return copy.deepcopy(map_tensors(state, Tensor.detach))


def same_states(one: Any, other: Any) -> bool:  # Any: see `map_tensors`
    """Whether two states (trees of tensors and plain values) hold values of the same types with the same bits: NaN
    equals itself, and 0.0 is not -0.0.

    >>> import torch
    >>> same_states({"moves": [1, torch.zeros(2)]}, {"moves": [1, torch.zeros(2)]}), same_states(1, 1.0)
    (True, False)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return (one.dtype, one.shape, one.layout) == (other.dtype, other.shape, other.layout) and _same_bits(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same_states(item, other[key]) for key, item in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_states, one, other))
    if isinstance(one, float):
        return one.hex() == other.hex()
    return bool(one == other)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.is_quantized:  # torch cannot show its bytes
        return one.equal(other)
    return torch.equal(*(each.detach().to_dense().contiguous().view(-1).view(torch.uint8) for each in (one, other)))
