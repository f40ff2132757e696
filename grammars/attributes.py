"""Copies of a module's plain attributes, which `state_dict` does not save."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from torch import Tensor, nn

from antiphon.grammars.promotion import as_declared
from antiphon.grammars.states import own_copy

_NUMBERS = (type(None), bool, int, float, complex, str, bytes)
_TORCHS = frozenset(vars(nn.Module())) - {"training"}


def attributes(module: nn.Module) -> list[dict[str, Any]]:  # Any: data, see below
    """Copy the data in plain attributes of a module: one dict for the module and for each submodule, in order.

    Data are tensors, numbers, strings, None, and lists, tuples, sets and mappings of them. Functions, hooks and other
    objects are left out, because they may refer to the module. Tensors that share memory with a parameter or a buffer
    are left out too, such as a recurrent layer's list of its weights.
    """
    shown = {_memory(each) for each in (*module.parameters(), *module.buffers())}
    with as_declared():  # a copy keeps its dtype, within `in_double` too
        return [_data(part, shown) for part in module.modules()]


def set_attributes(module: nn.Module, kept: Sequence[Mapping[str, Any]]) -> None:  # Any: see `attributes`
    """Set plain attributes of a module from `kept`, the list that `attributes` returned. Values are not copied.

    module: the module that was read, or another of the same class.
    """
    for part, values in zip(module.modules(), kept, strict=True):
        vars(part).update(values)


def _data(part: nn.Module, shown: Set[int]) -> dict[str, Any]:  # Any: see `attributes`
    own = ((name, value) for name, value in vars(part).items() if name not in _TORCHS)
    return {name: own_copy(value) for name, value in own if _is_data(value, shown)}


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
