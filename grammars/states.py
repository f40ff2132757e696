"""States as trees of tensors and plain values."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def map_tensors(state: Any, change: Callable[[Tensor], Tensor]) -> Any:  # Any: a State, or a part of one
    """The same tree with `change` of every tensor in it.

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
