"""What a module keeps beside parameters, buffers and extra state: plain attributes, which no state tells."""

import copy
from collections.abc import Mapping, Sequence, Set
from typing import Any

from torch import Tensor, nn

from antiphon.grammars.promotion import as_declared

_NUMBERS = (type(None), bool, int, float, complex, str, bytes)
_TORCHS = frozenset(vars(nn.Module())) - {"training"}


def attributes(module: nn.Module) -> list[dict[str, Any]]:  # Any: data, see below
    """Of the module and each of its parts, in order: copies of the tensors, the numbers, and the lists, tuples and
    mappings of them, that it keeps in attributes.

    Not of functions, hooks and objects, which may refer to the module; nor of what shows a parameter or a buffer, such
    as a recurrent layer's list of its weights.
    """
    shown = {_memory(each) for each in (*module.parameters(), *module.buffers())}
    with as_declared():  # a copy of a float32 number is one
        return [_data(part, shown) for part in module.modules()]


def set_attributes(module: nn.Module, kept: Sequence[Mapping[str, Any]]) -> None:  # Any: as above
    """Give a module what `attributes` told of it, or of another one of its kind; the values are its own now."""
    for part, values in zip(module.modules(), kept, strict=True):
        vars(part).update(values)


def _data(part: nn.Module, shown: Set[int]) -> dict[str, Any]:  # Any: as above
    own = ((name, value) for name, value in vars(part).items() if name not in _TORCHS)
    return {name: _copied(value) for name, value in own if _is_data(value, shown)}


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
