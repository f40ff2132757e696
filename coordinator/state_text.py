"""Converts a state to JSON text and a dict of tensors, and back, so that a checkpoint can store it without pickle."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import State

_TENSOR, _COMPLEX, _TUPLE, _ITEMS = "$tensor", "$complex", "$tuple", "$items"
"""Keys that mark values which JSON lacks.

A JSON dict whose only key is one of these stands for a tensor, a tensor of dtype complex128, a tuple, or a dict whose
keys are not plain strings.
"""

_PLAIN = (type(None), bool, int, float, str, np.float64)


def split_state(name: str, state: State) -> tuple[str, dict[str, Tensor]]:
    """Return a state as JSON text, and a dict of its tensors.

    In the text, each tensor is replaced by its key in the dict. name: name of the state, for errors.
    Raises ExperimentError if the state cannot be saved and loaded without change.
    """
    tensors: dict[str, Tensor] = {}
    try:
        return json.dumps(_split(name, state, "", tensors), indent=1), tensors
    except RecursionError:
        raise _refusal(name, "", "dicts and lists that contain themselves, or are nested without end") from None


def _split(name: str, value: Any, path: str, tensors: dict[str, Tensor]) -> Any:  # Any: a State and its leaves
    """Return a state, or a part of it, in JSON form.

    Each tensor is moved into `tensors`, and replaced by its key there.
    """
    if isinstance(value, Tensor):
        return _split_tensor(name, value, path, tensors)
    if isinstance(value, Mapping):
        return _split_mapping(name, value, path, tensors)
    if type(value) in (list, tuple, torch.Size):
        items = [_split(name, item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
        return items if type(value) is list else {_TUPLE: items}
    if type(value) not in _PLAIN:
        raise _refusal(name, path, f"a {type(value).__module__}.{type(value).__qualname__}")
    return value


def _split_tensor(name: str, value: Tensor, path: str, tensors: dict[str, Tensor]) -> Any:  # Any: JSON
    if value.layout is not torch.strided or value.is_quantized:
        raise _refusal(name, path, f"a tensor of layout {value.layout}, or quantized")
    key = path or "value"
    while key in tensors:  # two paths may be equal, because a key of the state may contain a slash
        key += "'"
    wide = value.dtype is torch.complex128  # safetensors has no such dtype
    tensors[key] = torch.view_as_real(value.detach().resolve_conj()) if wide else value
    return {_COMPLEX if wide else _TENSOR: key}


def _split_mapping(
    name: str, value: Mapping[Any, Any], path: str, tensors: dict[str, Tensor]
) -> Any:  # Any: keys and leaves of many types; JSON
    below = [(key, _split(name, item, f"{path}/{key}" if path else str(key), tensors)) for key, item in value.items()]
    if all(type(key) is str and not key.startswith("$") for key, _ in below):
        return dict(below)
    return {_ITEMS: [[_split(name, key, f"{path}/{key!r}", tensors), item] for key, item in below]}


def _refusal(name: str, path: str, arrived: str) -> ExperimentError:
    return ExperimentError(
        f"the state of {name!r} cannot be saved: {path or 'it'!r} is {arrived}; expected dense tensors, numbers, "
        "strings, booleans, None, and dicts, lists and tuples of these, which come back from disk as they are. "
        "Convert it in `state`, and back in `load`."
    )


def join_state(value: Any, tensors: Mapping[str, Tensor]) -> Any:  # Any: JSON; a State and its leaves
    """Return the state, or a part of it, from its parsed JSON text and its tensors. Reverses `split_state`."""
    if isinstance(value, list):
        return [join_state(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, inner),) = value.items()
        if mark == _TENSOR:
            return torch.as_tensor(tensors[inner])
        if mark == _COMPLEX:
            # A copy: the file aligns numbers to 8 bytes, and this dtype needs 16.
            return torch.view_as_complex(torch.as_tensor(tensors[inner]).clone())
        if mark == _TUPLE:
            return tuple(join_state(item, tensors) for item in inner)
        if mark == _ITEMS:
            return {join_state(key, tensors): join_state(item, tensors) for key, item in inner}
    return {key: join_state(item, tensors) for key, item in value.items()}
