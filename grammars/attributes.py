"""What a module keeps beside parameters, buffers and extra state: plain attributes, which no state tells."""

import copy
from collections.abc import Set
from typing import Any

from torch import Tensor, nn

_NUMBERS = (type(None), bool, int, float, complex, str, bytes)
_TORCHS = frozenset(vars(nn.Module())) - {"training"}


def copy_attributes(source: nn.Module, target: nn.Module) -> None:
    """Give a module the tensors, the numbers, and the lists, tuples and mappings of them, that another of its kind
    keeps in attributes. Everything else of `target` stays, since functions, hooks and objects may refer to its own
    parts; so do attributes that show a parameter or a buffer, such as a recurrent layer's list of its weights."""
    shown = {_memory(each) for each in (*source.parameters(), *source.buffers())}
    for one, two in zip(source.modules(), target.modules(), strict=True):
        for name, value in vars(one).items():
            if name not in _TORCHS and _is_data(value, shown):
                vars(two)[name] = _copied(value)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.numel() else id(tensor)


def _is_data(value: Any, shown: Set[int]) -> bool:  # Any: an attribute
    match value:
        case Tensor():
            return _memory(value) not in shown
        case dict():
            return all(_is_data(each, shown) for pair in value.items() for each in pair)
        case list() | tuple() | set() | frozenset():
            return all(_is_data(each, shown) for each in value)
        case _:
            return isinstance(value, _NUMBERS)


def _copied(value: Any) -> Any:  # Any: data
    match value:
        case Tensor():
            return value.detach().clone()
        case dict():
            return type(value)((key, _copied(each)) for key, each in value.items())
        case list():
            return list(map(_copied, value))
        case tuple() if not hasattr(value, "_fields"):
            return tuple(map(_copied, value))
        case _:
            return copy.copy(value)
