"""Operations on states, which are trees of tensors and plain values."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def map_tensors(state: Any, change: Callable[[Tensor], Tensor]) -> Any:  # Any: a State, or a part of one
    """The same tree, with `change` applied to every tensor in it.

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


def own_copy(state: Any) -> Any:  # Any: as above
    """A deep copy. Its tensors are in memory of their own, without torch's graph."""
    return copy.deepcopy(map_tensors(state, Tensor.detach))


def same_states(one: Any, other: Any) -> bool:  # Any: as above
    """Whether two trees hold equal numbers of the same types. NaN is unequal to itself, and 0.0 equals -0.0.

    >>> import torch
    >>> same_states({"moves": [1, torch.zeros(2)]}, {"moves": [1, torch.zeros(2)]}), same_states(1, 1.0)
    (True, False)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.equal(other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same_states(item, other[key]) for key, item in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_states, one, other))
    return bool(one == other)
