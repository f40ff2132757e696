"""Checks that a module computes exactly what its class says: no hook, no replaced method, no computed weight.

Code that reads the weights of a module, instead of calling the module, makes this check first.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules import module as shared

Tables: TypeAlias = list[Mapping[Any, Any]]
"""Dicts of torch or Python, with keys of any type."""

GLOBAL_HOOKS: Tables = [
    shared._global_forward_hooks,
    shared._global_forward_pre_hooks,
    shared._global_backward_hooks,
    shared._global_backward_pre_hooks,
]
"""The dicts in which torch keeps the hooks that apply to all modules of this process."""

METHODS = "forward", "__call__", "_call_impl", "_wrapped_call_impl", "__getattr__", "__iter__"
"""Methods through which a module is called, or finds its parts."""

_HOME = shared.__file__.removesuffix("module.py")
_HARMLESS = frozenset(
    ("__init__", "__doc__", "__module__", "__annotations__", "__dict__", "__weakref__", "__firstlineno__")
)


def hooks_of(module: nn.Module) -> Tables:
    """Return the dicts in which torch keeps the hooks of this module. Hooks of its children are not included."""
    return [module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks]


def backward_hooks_of(function: object) -> Tables:
    """Return the dicts with all hooks that torch calls in the backward pass of a module and its children."""
    if not isinstance(function, nn.Module):
        return []
    own = (table for each in function.modules() for table in (each._backward_hooks, each._backward_pre_hooks))
    return [shared._global_backward_hooks, shared._global_backward_pre_hooks, *own]


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a call of this module runs exactly the `forward` of the class `kind`, a class of torch or antiphon.

    A subclass of `kind` may add a constructor but override nothing else of `kind`. The module's children are not
    checked.

    >>> layer = nn.Linear(2, 2)
    >>> is_plain(layer, nn.Linear), is_plain(nn.utils.parametrizations.weight_norm(layer), nn.Linear)
    (True, False)
    """
    if not isinstance(module, kind) or any(hooks_of(module)) or any(GLOBAL_HOOKS):
        return False
    own = type(module)
    added = {name for each in own.__mro__ if each not in kind.__mro__ for name in vars(each)}
    replaced = any(callable(getattr(own, name, None)) for name in vars(module))
    shadowed = vars(module).keys() & (module._parameters.keys() | module._modules.keys())
    return not (replaced or shadowed or added & set(dir(kind)) - _HARMLESS) and is_original(kind)


def is_original(kind: type[nn.Module]) -> bool:
    """Whether the forward and call methods of a class are the original code, of torch or of the file that defines the
    class.
    """
    codes = [getattr(getattr(kind, name), "__code__", None) for name in METHODS if hasattr(kind, name)]
    own = _HOME, inspect.getfile(kind)
    return all(code is not None and code.co_filename.startswith(own) for code in codes)


def is_plain_parameter(value: object) -> bool:
    """Whether the value is a parameter of real numbers whose gradient nothing changes: no hook, no sparse layout."""
    return (
        type(value) is nn.Parameter
        and value.is_leaf
        and value.is_floating_point()
        and value.layout is torch.strided
        and not is_hooked([value])
    )


def is_hooked(parameters: Iterable[Tensor]) -> bool:
    """Whether at least one tensor in `parameters` has a hook on its gradient."""
    return any(each._backward_hooks or each._post_accumulate_grad_hooks for each in parameters)


def is_affine(module: nn.Module) -> bool:
    """Whether the module computes x W^t + b with parameters W and b of its own (b may be missing)."""
    if (
        type(module) is not nn.Linear
        or not is_plain(module, nn.Linear)
        or set(module._parameters) != {"weight", "bias"}
    ):
        return False
    weight, bias = module._parameters["weight"], module._parameters["bias"]
    if not is_plain_parameter(weight) or weight is None or weight.dim() != 2:
        return False
    return bias is None or (is_plain_parameter(bias) and bias.shape == weight.shape[:1] and bias is not weight)
