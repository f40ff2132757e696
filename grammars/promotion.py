"""Runs code that was written for float32 in float64: the code stays the same, torch's operations change.

While `in_double` is active, torch's dispatcher (`TorchDispatchMode`) replaces every narrower float by float64, and
every narrower complex number by complex128: in the inputs of an operation, in the dtypes it is asked for, and in its
results. So `torch.zeros(n, 6)`, `.float()`, `.to(torch.bfloat16)`, a constant of numpy, and the backward of a
`torch.autograd.Function` all compute in float64. `torch.autocast` leaves float64 alone by itself. For a derivative,
rounding to a narrower float is the identity; so without the rounding a network is the same function of real numbers.

Rejected: `torch.set_default_dtype` does not reach `.float()`. A `TorchFunctionMode` is off inside the function that it
was called for, so it misses hand-written derivatives, TorchScript, and functions made of functions.

Two limits: a tensor that is written into or viewed keeps its dtype, because other code may hold it too. Code that reads
bits, or compares dtypes by name, sees float64 and may refuse it.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WIDE: Mapping[torch.dtype, torch.dtype] = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex32: torch.complex128,
    torch.complex64: torch.complex128,
}
"""From each narrow dtype to the dtype that replaces it."""

_DENSE = {torch.ops.aten._efficientzerotensor.default: torch.ops.aten.zeros.default}  # pyright: ignore
"""Zeros without memory, which derivatives of derivatives make. torch 2.13 crashes on them under any dispatch mode."""


@final
class _Promotion(TorchDispatchMode):
    def __torch_dispatch__(
        self,
        func: Any,  # Any: torch's own type of operations has no stub
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs, func = kwargs or {}, _DENSE.get(func, func)
        written, looks = _aliases(func)
        if looks or not _ACTIVE.get():
            return func(*args, **kwargs)
        if written:
            return _write(func, written, args, kwargs)
        return widened(func(*map(widened, args), **{name: widened(each) for name, each in kwargs.items()}))


_ACTIVE: ContextVar[bool] = ContextVar("antiphon_in_double", default=False)


@contextlib.contextmanager
def in_double() -> Iterator[None]:
    """A context in which torch computes in float64, in this thread and in the backward passes that it starts."""
    with contextlib.nullcontext() if _ACTIVE.get() else _Promotion(), _active(True):
        yield


@contextlib.contextmanager
def as_declared() -> Iterator[None]:
    """A context in which torch computes in the dtypes of the code, even within `in_double`."""
    with _active(False):
        yield


@contextlib.contextmanager
def _active(whether: bool) -> Iterator[None]:
    token = _ACTIVE.set(whether)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def widened(value: Any) -> Any:  # Any: a tensor, a dtype, or lists, tuples and mappings of them
    """Convert narrow floats to float64 and narrow complex numbers to complex128, at every depth. Keep all else."""
    if isinstance(value, Tensor):
        return value.to(WIDE[value.dtype]) if value.dtype in WIDE else value
    if isinstance(value, torch.dtype):
        return WIDE.get(value, value)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(map(widened, value))
    if isinstance(value, Mapping):
        return {key: widened(item) for key, item in value.items()}
    return value


@cache
def _aliases(func: Any) -> tuple[dict[int, str], bool]:  # Any: an operation of torch
    """Return a pair: the names of the arguments that a torch operation writes into, by position, and a boolean.

    The boolean is true if the operation writes into no argument, and returns a view.
    """
    schema = func._schema
    written = {
        place: each.name
        for place, each in enumerate(schema.arguments)
        if each.alias_info is not None and each.alias_info.is_write
    }
    looks = not written and any(each.alias_info is not None for each in schema.returns)
    return written, looks and func is not torch.ops.aten.lift_fresh.default  # the last operation of `torch.tensor`


def _write(func: Any, written: Mapping[int, str], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run `func`, a torch operation that writes into a tensor, and return its result.

    The tensor keeps its dtype; other inputs are converted to a dtype that fits. written: index and name of each
    argument that the operation writes into.
    """
    target, names = _dtype_of(written, args, kwargs), written.values()
    change = widened if target is None or target not in WIDE else partial(_like, target)
    args = tuple(each if place in written else change(each) for place, each in enumerate(args))
    return func(*args, **{name: each if name in names else change(each) for name, each in kwargs.items()})


def _dtype_of(written: Mapping[int, str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.dtype | None:
    """Return the dtype of the first tensor that a torch operation writes into; None without such a tensor."""
    place, name = next(iter(written.items()))
    found = args[place] if place < len(args) else kwargs.get(name)
    found = found[0] if isinstance(found, list | tuple) and found else found
    return found.dtype if isinstance(found, Tensor) else None


def _like(dtype: torch.dtype, value: Any) -> Any:  # Any: an argument
    """Convert floats in `value` to the dtype of the tensor that they are written into, because no kernel does. Keep all
    else.
    """
    if isinstance(value, Tensor):
        fits = value.dtype.is_complex == dtype.is_complex and (value.is_floating_point() or value.is_complex())
        return value.to(dtype) if fits else value
    return [_like(dtype, each) for each in value] if isinstance(value, list) else value
