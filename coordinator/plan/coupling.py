"""Tests whether a function lets the examples of a batch influence each other, by calling it.

So it can test any module.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from antiphon.errors import FOREIGN
from antiphon.grammars.module_state import load_module, module_state
from antiphon.grammars.oracle import State
from antiphon.grammars.sampling import draw
from antiphon.grammars.seeds import forked
from antiphon.grammars.states import same_states
from antiphon.grammars.types import Batch, EdgeType, Sizes

_KINDS = "normal", "unit"
"""Kinds of random inputs to try a function on, in this order, until it accepts one. Zeros would show nothing."""

_TOLERANCE = 1e-3  # relative: kernels may differ with the number of rows


def coupling(
    function: Callable[..., Any], asked: Sequence[EdgeType], sizes: Sizes, device: torch.device | None = None
) -> str:
    """Describe how `function` lets the examples of a batch influence each other.

    Return "" if the function treats each example separately. The function is called on a random batch of the declared
    size and on the two halves of this batch, and the outputs are compared. A module is called in its current mode, but
    without dropout, and its state is restored. A function that draws random numbers counts as coupling, because the
    halves get other numbers than the whole.
    asked: types of the inputs. device: where the function computes; the CPU by default.
    """
    if isinstance(function, nn.Module):
        for name, module in function.named_modules():
            if isinstance(module, _NormBase) and module.training:
                return f"its {type(module).__name__} {name!r} normalises over the batch"
    found = ""
    for values in _KINDS:
        with forked():
            inputs = [draw(values, kind, sizes).to(device or torch.device("cpu")) for kind in asked]
        try:
            return _coupling(function, inputs, asked)
        except FOREIGN as error:  # any exception: foreign code may refuse these inputs
            shapes = ", ".join(str(tuple(value.shape)) for value in inputs)
            found = f"it could not be tried on {shapes} and on its halves ({type(error).__name__}: {error})"
    return found


def not_mean(loss: Callable[..., Any], asked: Sequence[EdgeType], sizes: Sizes) -> str:
    """Describe why a loss is not a mean over the examples of a batch. Return "" if it is one.

    The loss of a random batch is compared with the mean of the losses of its two halves, weighted by their sizes.
    asked: types of the inputs, at least one with a batch of two or more rows.
    """
    rows = max(kind.sized(sizes)[0] for kind in asked if _has_batch(kind))
    found = ""
    for values in _KINDS:
        with forked():
            inputs = [draw(values, kind, sizes) for kind in asked]
        try:
            ((whole,), _), *halves = (_play(loss, each) for each in (inputs, *_halves(inputs, asked)))
        except FOREIGN as error:  # any exception: foreign code may refuse these inputs
            found = f"it could not be tried on a batch and on its halves ({type(error).__name__}: {error})"
            continue
        first, second = (value for (value,), _ in halves)
        mean = (first * (rows // 2) + second * (rows - rows // 2)) / rows
        is_mean = torch.allclose(whole, mean, rtol=_TOLERANCE, atol=_TOLERANCE)
        return "" if is_mean else "its value is not the mean of the losses of the two halves of a batch"
    return found


def nonlinear(function: Callable[..., Any], asked: Sequence[EdgeType], sizes: Sizes) -> str:
    """Describe why `function` is not linear, or does not treat each example of a batch separately.

    Return "" if it is linear and treats each example separately. For random inputs a and b, f(a + b) is compared with
    f(a) + f(b). asked: types of the inputs.
    """
    if any(map(_has_batch, asked)) and (found := coupling(function, asked, sizes)):
        return found
    with forked():
        one, other = ([draw("normal", kind, sizes) for kind in asked] for _ in range(2))
    both = [first + second for first, second in zip(one, other, strict=True)]
    try:
        ((whole,), _), ((first,), _), ((second,), _) = (_play(function, each) for each in (both, one, other))
    except FOREIGN as error:  # any exception: foreign code may refuse these inputs
        return f"it could not be tried ({type(error).__name__}: {error})"
    linear = torch.allclose(whole, first + second, rtol=_TOLERANCE, atol=_TOLERANCE)
    return "" if linear else "what it makes of a sum is another thing than the sum of what it makes of each term"


def keeps_state(module: nn.Module, asked: Sequence[EdgeType], sizes: Sizes) -> bool:
    """Return whether a call changes the buffers or the extra state of `module`. The module is tried on random inputs.

    asked: types of the inputs. A module with such state that accepts no random input counts as changing it.
    """
    before = _kept(module)
    for values in _KINDS:
        with forked():
            inputs = [draw(values, kind, sizes) for kind in asked]
        try:
            return not same_states(before, _play(module, inputs)[1])
        except FOREIGN:  # any exception: foreign code may refuse these inputs
            continue
    return any(before.values())


def _coupling(function: Callable[..., Any], inputs: Sequence[Tensor], asked: Sequence[EdgeType]) -> str:
    whole, _ = _play(function, inputs)
    halves, kept = zip(*(_play(function, half) for half in _halves(inputs, asked)), strict=True)
    for played, parts in zip(whole, zip(*halves, strict=True), strict=True):
        joined = torch.cat(parts)
        if joined.shape != played.shape or not torch.allclose(joined, played, rtol=_TOLERANCE, atol=_TOLERANCE):
            return "what it plays for one example changes with the other examples of the batch"
    return "" if same_states(*kept) else "what it keeps for later (buffers, extra state) depends on the examples"


def _halves(inputs: Sequence[Tensor], asked: Sequence[EdgeType]) -> Iterator[list[Tensor]]:
    split = [(value, len(value) // 2 if _has_batch(kind) else None) for value, kind in zip(inputs, asked, strict=True)]
    yield [value[:middle] if middle else value for value, middle in split]
    yield [value[middle:] if middle else value for value, middle in split]


def _has_batch(kind: EdgeType) -> bool:
    return bool(kind.shape) and isinstance(kind.shape[0], Batch)


def _play(function: Callable[..., Any], inputs: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], State]:
    """Return the outputs of the function, and its state (without parameters) after the call."""
    with forked(), torch.enable_grad(), _left_alone(function):
        played = function(*inputs)
        kept = _kept(function) if isinstance(function, nn.Module) else {}
    return tuple(each.detach() for each in ((played,) if isinstance(played, Tensor) else played)), kept


def _kept(module: nn.Module) -> State:
    """Return the state of a module without its parameters."""
    state = module_state(module)
    return {table: state[table] for table in state.keys() - {"parameters"}}


@contextmanager
def _left_alone(function: Callable[..., Any]) -> Iterator[None]:
    """Return a context in which dropout is off in `function`, if it is a module.

    At the end of the context, the state and modes of the module are restored.
    """
    if not isinstance(function, nn.Module):
        yield
        return
    dropping = [module for module in function.modules() if isinstance(module, _DropoutNd) and module.training]
    before = module_state(function)
    for module in dropping:
        module.eval()
    try:
        yield
    finally:
        for module in dropping:
            module.train()
        load_module("the module that was tried", function, before)
