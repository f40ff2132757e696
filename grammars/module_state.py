"""The state of a module between two rounds: parameters, buffers, and all further entries of its `state_dict`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from antiphon.errors import ShapeError
from antiphon.grammars.oracle import State
from antiphon.grammars.states import own_copy
from antiphon.grammars.types import EdgeType


def module_state(module: nn.Module, whole: Callable[[Tensor], Tensor] = torch.clone) -> State:
    """Return a copy of the state of a module.

    The state has three entries. "parameters": all parameters by name, including frozen ones. "buffers": all buffers by
    name. Buffers that torch does not save are included, because an exact continuation needs them; a buffer that is None
    is included as None. "extra": all other entries of `state_dict`, from `get_extra_state`, from hooks or from a
    `state_dict` method of the module.
    whole: a function that copies a parameter or buffer.
    """
    kept = {name: None if value is None else whole(value.detach()) for name, _, _, value in _buffers(module)}
    return {
        "parameters": {name: whole(value.detach()) for name, value in module.named_parameters()},
        "buffers": kept,
        "extra": {key: own_copy(value) for key, value in _further(module).items()},
    }


def load_module(
    who: str,
    module: nn.Module,
    state: Mapping[str, Any],  # Any: a state from `module_state`
    placed: Callable[[Tensor, Tensor], Tensor] = lambda saved, own: saved,
) -> None:
    """Restore a module's state. Parameters are set in place, and so are buffers whose shape and dtype are unchanged.

    The module's own `load_state_dict` runs first, because it may set other things. Then the saved numbers are copied
    into every parameter and buffer again.
    who: the module's name in errors. state: the saved state of a player or a clone. placed: a function of (saved
    tensor, tensor of the module) that returns the tensor to copy into the module. Raises ShapeError, and loads nothing,
    if the state belongs to another module.
    """
    parameters, buffers = state["parameters"], state["buffers"]
    _refuse_other(who, module, parameters, buffers, state["extra"])
    _make_buffers(module, buffers)
    saved = {**parameters, **buffers}
    ready = {name: placed(saved[name], value) for name, value in _tensors(module).items()}
    module.load_state_dict(_told(module, ready, state["extra"]), strict=False)
    with torch.no_grad():
        for name, value in _tensors(module).items():
            value.copy_(ready[name])


def keeps_extra_state(module: nn.Module) -> bool:
    """Whether the class of this module overrides `get_extra_state`. Its children are not considered."""
    return type(module).get_extra_state is not nn.Module.get_extra_state


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    buffers = {name: value for name, _, _, value in _buffers(module) if value is not None}
    return {**dict(module.named_parameters()), **buffers}


def _buffers(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor | None]]:
    """Yield (full name, owner, name within the owner, value) for every buffer. The value may be None."""
    for prefix, owner in module.named_modules():
        for key, value in owner._buffers.items():
            yield f"{prefix}.{key}" if prefix else key, owner, key, value


def _further(module: nn.Module) -> dict[str, Any]:  # Any: values of many types
    """Return the entries of the module's `state_dict` that are neither parameters nor buffers."""
    known = {id(value) for value in _tensors(module).values()}
    return {key: value for key, value in module.state_dict(keep_vars=True).items() if id(value) not in known}


def _told(module: nn.Module, ready: Mapping[str, Tensor], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Build the argument for `load_state_dict`. One tensor may appear under several keys."""
    names = {id(value): name for name, value in _tensors(module).items()}
    told = module.state_dict(keep_vars=True)
    for key, value in told.items():
        told[key] = ready[names[id(value)]] if id(value) in names else value
    told.update({key: own_copy(value) for key, value in extra.items()})
    return told


def _make_buffers(module: nn.Module, saved: Mapping[str, Tensor | None]) -> None:
    """Make the module's buffers match the saved buffers.

    They may differ, because a forward pass may register a buffer, set it to None, or replace it by a buffer of another
    shape or dtype.
    """
    for name, owner, key, value in list(_buffers(module)):
        if name not in saved:
            del owner._buffers[key]
        elif value is None or (own := saved[name]) is None or _type(value) != _type(own):
            owner._buffers[key] = _beside(module, saved[name])
    known = {name for name, _, _, _ in _buffers(module)}
    for name in saved.keys() - known:
        path, _, key = name.rpartition(".")
        module.get_submodule(path).register_buffer(key, _beside(module, saved[name]))


def _beside(module: nn.Module, value: Tensor | None) -> Tensor | None:
    if value is None:
        return None
    return value.detach().to(next((each.device for each in module.parameters()), value.device), copy=True)


def _refuse_other(
    who: str,
    module: nn.Module,
    saved: Mapping[str, Tensor],
    buffers: Iterable[str],
    extra: Iterable[str],
) -> None:
    own = dict(module.named_parameters())
    if own.keys() != saved.keys():
        raise _otherwise(who, f"has the parameters {sorted(own)}", sorted(saved))
    for name, value in own.items():
        if _type(value) != _type(saved[name]):
            raise _otherwise(who, f"has {name!r} among its parameters as {_type(value)}", _type(saved[name]))
    paths = {path for path, _ in module.named_modules()}
    homeless = sorted(name for name in buffers if name.rpartition(".")[0] not in paths)
    if homeless:
        raise _otherwise(who, f"has the modules {sorted(paths)}", f"the buffers {homeless}")
    missing = sorted(_further(module).keys() - set(extra))
    if missing:
        raise _otherwise(who, f"saves {missing} besides parameters and buffers", sorted(extra))


def _type(value: Tensor) -> EdgeType:
    return EdgeType(tuple(value.shape), value.dtype)


def _otherwise(who: str, has: str, saved: object) -> ShapeError:
    return ShapeError(f"{who} {has}, and the state to load has {saved}. Resume with the module that was saved.")
