"""Infers the types of an operator's outputs by calling it on sample values."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from antiphon.errors import FOREIGN, GrammarError, ShapeError, unstopped
from antiphon.grammars.factory import Factory
from antiphon.grammars.process_state import ProcessState
from antiphon.grammars.query import Parameter
from antiphon.grammars.sampling import DRAWN, PLAYED, Upstream, doubled, draw
from antiphon.grammars.seeds import forked
from antiphon.grammars.typed import unchecked
from antiphon.grammars.types import Batch, Dimension, EdgeType, Sizes, is_dense

_UNDECLARED = 8
"""The size of a symbolic dimension that no oracle declares; doubled for each further undeclared symbol."""

SMALL = 1_000_000
"""The largest number of elements in an operator's inputs, and in its parameters, for a trial on values. A larger
operator is tried on torch's meta device, which allocates nothing, but whose first use loads a compiler in a second."""

M = TypeVar("M")
Make: TypeAlias = Callable[[Factory], Callable[..., Any]]  # Any: an operator may take and return anything


@dataclass(frozen=True)
class Inferred:
    """Types of an operator's outputs, and the operator's parameters. single: the operator returns one tensor, not a
    tuple.
    """

    outputs: tuple[EdgeType, ...]
    parameters: tuple[Parameter, ...]
    single: bool


def infer(
    who: str,
    make: Make,
    factory: Factory,
    inputs: Sequence[EdgeType],
    sizes: Sizes = MappingProxyType({}),
    upstream: Upstream | None = None,
) -> Inferred:
    """Infer the output types of an operator, given the types of its inputs, by calling it on sample values.

    who: the operator's name in errors. make: makes the operator from `factory`. sizes: sizes of the declared symbolic
    dimensions, such as the batch. upstream: computes the real values of the operator's inputs. It is called only if the
    operator refuses all values drawn by type. The operator is tried at the declared sizes, and with each of them
    doubled. An output dimension that doubles in the second trial is symbolic; any other is a constant. If the operator
    refuses the doubled size, all dimensions are constants. torch's settings and all random streams are restored
    afterwards. Raises ShapeError if the shapes do not compose, GrammarError if the operator cannot be made.
    """
    trial = _Trial(who, factory, tuple(inputs), _complete(inputs, sizes), frozenset(sizes))
    with ProcessState.here().entered(), forked(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        operator = made_if_small(who, make, factory) if trial.is_small else None
        if operator is None:
            # A module may fail on the meta device for many reasons. After any error there, a trial on values
            # decides.
            with contextlib.suppress(*FOREIGN):
                with torch.device("meta"):
                    operator = make(factory)
                return trial.typed(operator, _on_meta(trial.inputs))
            operator = made_for(who, make, factory)
        return trial.on_values(operator, upstream)


def make_module(factory: Factory) -> nn.Module:
    """Make the operator of a player. Raises TypeError if the factory makes no module, or a lazy module."""
    module = factory()
    if not isinstance(module, nn.Module):
        raise TypeError(f"it made a {type(module).__name__}, not a torch.nn.Module")
    if any(map(is_lazy, module.parameters())):
        raise TypeError("its parameters are lazy, without a shape before its first input")
    return module


def makes_parameters(factory: Factory, who: str = "") -> bool:
    """Whether a class makes a module with parameters that require a gradient. A function makes none."""
    if not isinstance(factory.target, type):
        return False
    who = who or repr(factory)
    with ProcessState.here().entered(), forked():
        made = made_if_small(who, make_operator, factory)
        if made is None:
            with contextlib.suppress(*FOREIGN), torch.device("meta"):  # as in `infer`
                made = make_operator(factory)
        return bool(_parameters(made or made_for(who, make_operator, factory)))


def make_operator(factory: Factory) -> Callable[..., Any]:
    """Make an operator without parameters: an instance of a class, or a function of the values and the factory's
    arguments.
    """
    if isinstance(factory.target, type):
        return factory()
    target = unchecked(factory.target)
    if not factory.arguments and not factory.keywords:
        return target
    return lambda *values: target(*values, *factory.arguments, **dict(factory.keywords))


Values: TypeAlias = Callable[[Sizes], list[Tensor]]
"""A function of sizes that returns the inputs of a trial."""


class _Refused(Exception):
    """The operator under trial raised an error (the `__cause__` of this exception) on inputs of these sizes."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes


@dataclass(frozen=True)
class _Played:
    outputs: tuple[Tensor, ...]
    single: bool

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(value.shape) for value in self.outputs]


@dataclass(frozen=True)
class _Trial:
    """A trial of an operator on sample values.

    sizes: sizes of all symbolic dimensions in its inputs. declared: the symbolic dimensions whose size an oracle
    declares.
    """

    who: str
    factory: Factory
    inputs: tuple[EdgeType, ...]
    sizes: Sizes
    declared: frozenset[str]

    @property
    def is_small(self) -> bool:
        return sum(prod(each.sized(self.sizes)) for each in self.inputs) <= SMALL

    def on_values(self, operator: Callable[..., Any], upstream: Upstream | None) -> Inferred:
        """Infer the operator's output types. Use the first kind of sample values, and the first way of calling, that it
        accepts.

        Raises ShapeError if the operator accepts none. The message gives the operator's error on its real inputs if
        they are known, else on normal draws.
        """
        refused: list[_Refused] = []
        for values in self._kinds(upstream):
            said = None
            for way in (_recorded, _from_leaves, _unrecorded):
                try:
                    return self.typed(operator, values, way)
                except _Refused as error:
                    said = said or error
            refused += [said] if said else []
        raise self._refusal(refused[0] if upstream is None else refused[-1])

    def typed(self, operator: Callable[..., Any], values: Values, way: "Way | None" = None) -> Inferred:
        """Infer the operator's output types from a trial at `sizes`, and from further trials with one size doubled in
        each.
        """
        first = self._run(operator, values, way, self.sizes)
        others = {symbol: self._doubled(operator, values, way, symbol) for symbol in self.sizes}
        shapes = [
            self._shape(shape, {symbol: played.shapes[index] for symbol, played in others.items() if played})
            for index, shape in enumerate(first.shapes)
        ]
        if way is not None and not all(played and _settled(shapes, played) for played in others.values()):
            self._refuse_changing(first, self._run(operator, values, way, self.sizes))
        types = (EdgeType(shape, value.dtype) for shape, value in zip(shapes, first.outputs, strict=True))
        return Inferred(tuple(types), _parameters(operator), first.single)

    def _kinds(self, upstream: Upstream | None) -> Iterator[Values]:
        for kind in DRAWN:
            yield lambda sizes, kind=kind: [draw(kind, each, sizes) for each in self.inputs]
        if upstream is not None:
            for kind in PLAYED:
                yield lambda sizes, kind=kind, upstream=upstream: self._played(upstream, kind, sizes)

    def _played(self, upstream: Upstream, kind: str, sizes: Sizes) -> list[Tensor]:
        values = [value.clone() for value in upstream(kind, self.sizes)]
        for symbol in (symbol for symbol, size in self.sizes.items() if sizes[symbol] != size):
            values = doubled(values, self.inputs, symbol)
        return values

    def _doubled(self, operator: Callable[..., Any], values: Values, way: "Way | None", symbol: str) -> _Played | None:
        try:
            return self._run(operator, values, way, {**self.sizes, symbol: 2 * self.sizes[symbol]})
        except _Refused:
            if symbol in self.declared:
                return None  # it takes the declared size only
            raise

    def _run(self, operator: Callable[..., Any], values: Values, way: "Way | None", sizes: Sizes) -> _Played:
        given = values(sizes)
        operator = getattr(operator, "outlined", operator)  # a scan's first steps show the shapes of all
        before = [value._version for value in given]
        try:
            played = operator(*given) if way is None else way(operator, given)
        except FOREIGN as error:
            raise _Refused(sizes) from error
        if before != [value._version for value in given]:
            raise GrammarError(
                f"{self.who} changes an input in place in {self.factory!r}; expected it to leave its inputs alone, "
                "because others read them too. Use the operation that is not in place (ReLU() instead of "
                "ReLU(inplace=True))."
            )
        single = isinstance(played, Tensor)
        outputs = (played,) if single else played
        sequence = isinstance(outputs, tuple | list) and bool(outputs)
        if not sequence or not all(isinstance(each, Tensor) for each in outputs):
            raise ShapeError(
                f"{self.who} plays {type(played).__name__} from {self.factory!r}; expected a tensor or a tuple of "
                "tensors. Return tensors only."
            )
        for index, each in enumerate(outputs):
            if not is_dense(each):
                raise ShapeError(
                    f"{self.who} plays a tensor of layout {each.layout} and {each.dtype} as output {index} of "
                    f"{self.factory!r}; expected numbers in dense memory. Convert it (to_dense, dequantize)."
                )
        return _Played(tuple(outputs), single)

    def _shape(self, first: tuple[int, ...], others: Mapping[str, tuple[int, ...]]) -> tuple[Dimension, ...]:
        for symbol, other in others.items():
            if len(other) != len(first):
                self._refuse_undeclared(f"{len(first)} dimensions", symbol, f"{len(other)} dimensions")
                return first
        return tuple(
            self._dimension(size, {symbol: other[index] for symbol, other in others.items()})
            for index, size in enumerate(first)
        )

    def _dimension(self, first: int, others: Mapping[str, int]) -> Dimension:
        changed = [symbol for symbol, size in others.items() if size != first]
        for symbol in changed:
            if len(changed) == 1 and others[symbol] == 2 * first and first % self.sizes[symbol] == 0:
                return Batch(symbol, first // self.sizes[symbol])
            self._refuse_undeclared(f"a dimension of {first}", symbol, f"one of {others[symbol]}")
        return first

    def _refuse_undeclared(self, first: str, symbol: str, other: str) -> None:
        if symbol not in self.declared:
            size = self.sizes[symbol]
            raise ShapeError(
                f"{self.who} plays {first} where {symbol!r} is {size}, and {other} where it is {2 * size}; expected "
                f"constants, or multiples of {symbol!r}, because no oracle declares its size. Declare it in the "
                "`sizes` of the oracle that plays it, or keep the batch in a dimension of its own."
            )

    def _refuse_changing(self, first: _Played, again: _Played) -> None:
        if first.shapes != again.shapes:
            raise ShapeError(
                f"{self.who} plays the shapes {first.shapes} from {self.factory!r} on some values, and {again.shapes} "
                "on others of the same types; expected shapes that depend on shapes only. Mask values instead of "
                "leaving them out."
            )

    def _refusal(self, refused: _Refused) -> ShapeError:
        taken = ", ".join(map(repr, self.inputs)) or "nothing"
        where = ", ".join(f"{symbol} = {size}" for symbol, size in refused.sizes.items())
        error = refused.__cause__
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".") if lines else type(error).__name__
        found = ShapeError(
            f"{self.who} cannot play {self.factory!r} on {taken}{' where ' + where if where else ''}: {reason}. "
            "Expected inputs that it takes; change its sizes or what is connected to it."
        )
        found.__cause__ = error
        return found


def _settled(shapes: Sequence[tuple[Dimension, ...]], other: _Played) -> bool:
    """Whether all constant dimensions in `shapes` have the same size in another trial.

    shapes: shapes of the outputs. other: the outputs of another trial, with other sizes of the inputs.
    """
    pairs = (pair for one, two in zip(shapes, other.shapes, strict=True) for pair in zip(one, two, strict=False))
    return all(size == now for size, now in pairs if isinstance(size, int))


Way: TypeAlias = Callable[[Callable[..., Any], list[Tensor]], Any]
"""A function that calls an operator: with or without autograd, on plain inputs or on leaves."""


def _recorded(operator: Callable[..., Any], values: list[Tensor]) -> Any:
    with torch.enable_grad():
        return operator(*values)


def _from_leaves(operator: Callable[..., Any], values: list[Tensor]) -> Any:
    """Call the operator on inputs that require a gradient, because it may differentiate with respect to them."""
    with torch.enable_grad():
        return operator(*(value.detach().requires_grad_() if value.is_floating_point() else value for value in values))


def _unrecorded(operator: Callable[..., Any], values: list[Tensor]) -> Any:
    with torch.no_grad():
        return operator(*values)


def _on_meta(inputs: Sequence[EdgeType]) -> Values:
    return lambda sizes: [torch.empty(each.sized(sizes), dtype=each.dtype, device="meta") for each in inputs]


def _complete(inputs: Sequence[EdgeType], sizes: Sizes) -> Sizes:
    """Return a size for every symbolic dimension of the types `inputs`.

    The size of a dimension is taken from `sizes`. A dimension that `sizes` does not have gets a trial size.
    """
    symbols = sorted({each.name for edge in inputs for each in edge.shape if isinstance(each, Batch)})
    unknown = [symbol for symbol in symbols if symbol not in sizes]
    return {symbol: sizes.get(symbol) or _UNDECLARED << unknown.index(symbol) for symbol in symbols}


class _TooLarge(Exception):
    """Making the operator would make more than `SMALL` numbers (parameters and buffers)."""


class _Counting(TorchFunctionMode):
    """A mode of torch that raises _TooLarge as soon as more than `SMALL` numbers are made inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = SMALL

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # Any: torch's own
        keywords = kwargs or {}
        if func in _MAKERS:
            self.left -= func(*args, **{**keywords, "device": "meta"}).numel()
            if self.left < 0:
                raise _TooLarge
        return func(*args, **keywords)


_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.tensor, torch.arange}


def made_if_small(who: str, make: Make, factory: Factory) -> Callable[..., Any] | None:
    """Make the operator, and return it; return None if that would make more than `SMALL` numbers."""
    try:
        with _Counting():
            return make(factory)
    except _TooLarge:
        return None
    except FOREIGN as error:
        raise _not_made(who, factory, error) from error


def made_for(who: str, make: Callable[[Factory], M], factory: Factory) -> M:
    """Return `make(factory)`. Raises GrammarError if this call raises any error, or tries to exit the process."""
    try:
        return make(factory)
    except FOREIGN as error:
        raise _not_made(who, factory, error) from error


def _not_made(who: str, factory: Factory, error: BaseException) -> GrammarError:
    return GrammarError(
        f"{who} cannot be made: {factory!r} raised {type(error).__name__}: {unstopped(error)}. "
        "Expected arguments that its class or function takes; correct them."
    )


def _parameters(operator: Callable[..., Any]) -> tuple[Parameter, ...]:
    if not isinstance(operator, nn.Module):
        return ()
    named = operator.named_parameters()
    return tuple(Parameter(name, tuple(each.shape), each.dtype) for name, each in named if each.requires_grad)
