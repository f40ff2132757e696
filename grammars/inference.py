"""The types of an operator's outputs, found without running it on data."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.factory import Factory
from antiphon.grammars.query import Parameter
from antiphon.grammars.types import Batch, Dimension, EdgeType

_SIZES = (13, 17), (29, 37), (19, 23), (41, 31)
"""Per symbolic dimension, its size in the first and in the second trial: what scales along with it is symbolic."""

Make: TypeAlias = Callable[[Factory], Callable[..., Any]]  # Any: an operator takes and plays what it will


@dataclass(frozen=True)
class Inferred:
    """What one call of an operator would play, and the parameters that it holds."""

    outputs: tuple[EdgeType, ...]
    parameters: tuple[Parameter, ...]
    single: bool


def infer(who: str, make: Make, factory: Factory, inputs: Sequence[EdgeType]) -> Inferred:
    """The output types of `factory` on inputs of these types.

    First under FakeTensorMode, which allocates nothing; where a module defeats that (it reads values), by a dry run on
    small zeros. Raises ShapeError when the shapes do not compose, GrammarError when the operator cannot be made.
    """
    first, second = (_play(who, make, factory, inputs, trial) for trial in (0, 1))
    symbols = _symbols(inputs)
    pairs = zip(first.outputs, second.outputs, strict=True)
    outputs = tuple(EdgeType(_shape(who, a, b, symbols), a.dtype) for a, b in pairs)
    return Inferred(outputs, first.parameters, first.single)


def make_module(factory: Factory) -> nn.Module:
    """A player's operator. Raises TypeError when the factory makes something else than a module, or a lazy one."""
    module = factory()
    if not isinstance(module, nn.Module):
        raise TypeError(f"it made a {type(module).__name__}, not a torch.nn.Module")
    if any(map(is_lazy, module.parameters())):
        raise TypeError("its parameters are lazy, without a shape before its first input")
    return module


def makes_parameters(factory: Factory) -> bool:
    """Whether a class makes a module with something to learn; a function stands for itself and makes none."""
    if not isinstance(factory.target, type):
        return False
    with torch.random.fork_rng(devices=[]):
        return bool(_parameters(_made(f"{factory!r}", make_operator, factory)))


def make_operator(factory: Factory) -> Callable[..., Any]:
    """The callable of a parameterless operator: a class is made with its arguments; a function stands for itself and
    takes its arguments after the values."""
    if isinstance(factory.target, type):
        return factory()
    if not factory.arguments and not factory.keywords:
        return factory.target
    return lambda *values: factory.target(*values, *factory.arguments, **dict(factory.keywords))


@dataclass(frozen=True)
class _Played:
    outputs: tuple[Tensor, ...]
    parameters: tuple[Parameter, ...]
    single: bool


def _play(who: str, make: Make, factory: Factory, inputs: Sequence[EdgeType], trial: int) -> _Played:
    # Not at the top: it brings sympy and takes longer than torch itself, and workers never infer.
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.random.fork_rng(devices=[]):
        # Any module may defeat fake tensors in its own way, so whatever is raised there, the dry run has the last word.
        with contextlib.suppress(Exception), FakeTensorMode(), _quiet():
            return _run(who, make, factory, inputs, trial)
        return _run(who, make, factory, inputs, trial)


def _run(who: str, make: Make, factory: Factory, inputs: Sequence[EdgeType], trial: int) -> _Played:
    operator = _made(who, make, factory)
    sizes = {symbol: _SIZES[position][trial] for position, symbol in enumerate(_symbols(inputs))}
    values = [torch.zeros(each.sized(sizes), dtype=each.dtype) for each in inputs]
    try:
        with torch.no_grad():
            played = operator(*values)
    except Exception as error:
        taken = ", ".join(map(repr, inputs)) or "nothing"
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise ShapeError(
            f"{who} cannot play {factory!r} on {taken}: {reason}. "
            "Expected inputs that it takes; change its sizes or what is connected to it."
        ) from error
    if any(value._version for value in values):
        raise GrammarError(
            f"{who} changes an input in place in {factory!r}; expected it to leave its inputs alone, because others "
            "read them too. Use the operation that is not in place (ReLU() instead of ReLU(inplace=True))."
        )
    single = isinstance(played, Tensor)
    outputs = (played,) if single else played
    if not isinstance(outputs, tuple | list) or not all(isinstance(each, Tensor) for each in outputs) or not outputs:
        raise ShapeError(
            f"{who} plays {type(played).__name__} from {factory!r}; expected a tensor or a tuple of tensors. "
            "Return tensors only."
        )
    return _Played(tuple(outputs), _parameters(operator), single)


def _made(who: str, make: Make, factory: Factory) -> Callable[..., Any]:
    try:
        return make(factory)
    except Exception as error:
        raise GrammarError(
            f"{who} cannot be made: {factory!r} raised {type(error).__name__}: {error}. "
            "Expected arguments that its class or function takes; correct them."
        ) from error


def _parameters(operator: Callable[..., Any]) -> tuple[Parameter, ...]:
    if not isinstance(operator, nn.Module):
        return ()
    named = operator.named_parameters()
    return tuple(Parameter(name, tuple(each.shape), each.dtype) for name, each in named if each.requires_grad)


def _symbols(inputs: Sequence[EdgeType]) -> list[str]:
    symbols = sorted({each.name for edge in inputs for each in edge.shape if isinstance(each, Batch)})
    if len(symbols) > len(_SIZES):
        raise ShapeError(
            f"one operator takes {len(symbols)} symbolic dimensions: {symbols}; expected at most {len(_SIZES)}. "
            "Declare some of them with constant sizes."
        )
    return symbols


def _shape(who: str, first: Tensor, second: Tensor, symbols: Sequence[str]) -> tuple[Dimension, ...]:
    if first.dim() != second.dim():
        raise ShapeError(
            f"{who} plays {first.dim()} dimensions for one batch size and {second.dim()} for another; "
            "expected the same number for all. Keep the batch in a dimension of its own."
        )
    return tuple(_dimension(who, a, b, symbols) for a, b in zip(first.shape, second.shape, strict=True))


def _dimension(who: str, first: int, second: int, symbols: Sequence[str]) -> Dimension:
    if first == second:
        return int(first)
    for symbol, (one, two) in zip(symbols, _SIZES, strict=False):
        if first % one == 0 and first // one * two == second:
            return Batch(symbol, int(first // one))
    raise ShapeError(
        f"{who} plays a dimension of {first} for one batch size and {second} for another; expected a constant, or a "
        f"multiple of one of {list(symbols)}. Keep each symbolic dimension apart."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Fake tensors log the traceback of every refused shape, which we turn into an error of our own.
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
