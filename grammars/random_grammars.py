"""Random grammars for tests.

On each grammar, the gradients of every executor are compared with plain automatic differentiation.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import BrickHandle, PlayerHandle, QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.objective import Direction, Objective, Term
from antiphon.grammars.oracle import Box, Memoryless, OracleDeclaration, Question
from antiphon.grammars.query import Port
from antiphon.grammars.seeds import at_round
from antiphon.grammars.types import Batch, EdgeType
from antiphon.grammars.walks import reached

Choose: TypeAlias = Callable[[int], int]
"""Chooses one of the numbers 0, 1, ..., n - 1, for a given n."""

WIDTHS = (2, 3, 5)


def sample_grammar(seed: int) -> Grammar:
    """Return a random grammar in float64. Equal seeds give equal grammars."""
    return draw_grammar(random.Random(seed).randrange)


def draw_grammar(choose: Choose, nodes: int | None = None, batch: int | None = None) -> Grammar:
    """Return a random grammar. Two to eight random steps add nodes to the Query graph; the Response graph is the chain
    rule.

    choose: makes each random choice. nodes: the number of steps; None draws the number. batch: the number of rows of a
    batch; None draws the number. The graph may have fan-outs, players asked several times, skips, nodes with several
    inputs or outputs, images, clones, a gray oracle and several losses. Its objective is minimised or maximised, and
    may have a second term of some players, which holds a value fixed. Its modules can be imported in any process.
    """
    sketch = _Sketch(choose, 2 + choose(4) if batch is None else batch)
    for _ in range(2 + choose(7) if nodes is None else nodes):
        sketch.extend()
    return sketch.grammar()


class TanhLayer(nn.Sequential):
    """A linear layer, then the hyperbolic tangent."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(nn.Linear(width, out, dtype=torch.float64), nn.Tanh())


class Soft(nn.Sequential):
    """A linear layer, then softplus."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(nn.Linear(width, out, dtype=torch.float64), nn.Softplus())


class Fork(nn.Module):
    """A module with two outputs of one input."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.left = nn.Linear(width, out, dtype=torch.float64)
        self.right = nn.Linear(width, width, dtype=torch.float64)

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return two outputs, (batch, out) and (batch, width). value: (batch, width)."""
        return torch.sin(self.left(value)), self.right(value).tanh()


class Filter(nn.Sequential):
    """A convolution that keeps the image's size, then the hyperbolic tangent."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(nn.Conv2d(channels, out, 3, padding=1, dtype=torch.float64), nn.Tanh())


@final
class Samples(Memoryless):
    """A data oracle: normal draws of the given shapes in float64, a function of (seed, round) only."""

    def __init__(self, *shapes: tuple[int, ...], seed: int) -> None:
        self._shapes, self._seed = shapes, seed

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        """Return new draws in every round."""
        generator = torch.Generator().manual_seed(at_round(self._seed, round))
        return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in self._shapes)


@final
class Medium(Memoryless):
    """A gray oracle: sin(x W + round) with a fixed W. It can be asked for a vector-Jacobian product."""

    def __init__(self, width: int, *, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._matrix = torch.randn(width, width, generator=generator, dtype=torch.float64)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        """Return the answer, (batch, width), attached to autograd. inputs: one tensor, (batch, width)."""
        return (torch.sin(inputs[0] @ self._matrix + round),)


def mean_gap(value: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of the squared distance between value and target, 0-d."""
    return (value - target).square().sum(1).mean()


def mean_softplus(value: Tensor) -> Tensor:
    """Mean over the batch of the sum of softplus of an example's numbers, 0-d."""
    return softplus(value).flatten(1).sum(1).mean()


def mean_overlap(one: Tensor, two: Tensor) -> Tensor:
    """Mean over the batch of a product: the sum of an example's numbers in `one`, times that in `two`. 0-d."""
    return (one.flatten(1).sum(1) * two.flatten(1).sum(1)).mean()


def batch_of(*shape: int, dtype: torch.dtype = torch.float64) -> EdgeType:
    """Return the type of a batch of values of this shape."""
    return EdgeType((Batch(), *shape), dtype)


def samples(batch: int, *shapes: tuple[int, ...]) -> OracleDeclaration:
    """Declare a data oracle that draws one output per shape, (batch, *shape), from the standard normal in each
    round.
    """
    question = Question("sample", (), tuple(batch_of(*shape) for shape in shapes))
    factory = Factory.of(Samples, *((batch, *shape) for shape in shapes))
    return OracleDeclaration(factory, (question,), (("batch", batch),))


def medium(width: int) -> OracleDeclaration:
    """Declare the gray (differentiable) oracle `Medium`, whose inputs and answers are vectors, (batch, width)."""
    question = Question("bend", (batch_of(width),), (batch_of(width),), Box.GRAY)
    return OracleDeclaration(Factory.of(Medium, width), (question,))


class _Sketch:
    """A random Query graph that is being written.

    led: values that depend on a player. loose: values that no node takes yet.
    """

    def __init__(self, choose: Choose, batch: int) -> None:
        self.choose, self.q = choose, QueryDraft()
        nature = self.q.oracle("Nature", samples(batch, (3,), (5,), (2, 6, 6), (3,)))
        *values, self.target = nature()
        self.values: list[Value] = values
        self.loose: dict[Port, Value] = {}
        self.led: set[Port] = set()
        self.players: list[tuple[PlayerHandle | BrickHandle, tuple[Value, ...]]] = []
        self.clones = self.count = 0
        self._layer(TanhLayer)

    def extend(self) -> None:
        """Add one more random node."""
        layers = (partial(self._layer, kind) for kind in (TanhLayer, Soft, Fork))
        moves = (*layers, self._pair, self._norm, self._filter, self._pool, self._again)
        moves += (self._again, self._add, self._join, self._rectify, self._bend, self._clone)
        moves[self.choose(len(moves))]()

    def grammar(self) -> Grammar:
        """Return the grammar. Every value that no node takes goes into a loss."""
        losses: list[Port] = []
        while self.loose:
            value = self.loose.pop(next(iter(self.loose)))
            losses.append(self._loss(f"Loss{len(losses) + 1}", value).port)
        objective = self._objective(tuple(losses))
        query = self.q.graph()
        return Grammar("random", query, chain_rule(query, objective), objective, exact())

    def _objective(self, losses: tuple[Port, ...]) -> Objective:
        """Return all losses for all players; sometimes also one loss for some players, with one value held fixed."""
        common, query = Term(losses, self._pick(tuple(Direction))), self.q.graph()
        if self.choose(3) == 0:
            return Objective((common,))
        loss = self._pick(losses)
        above = reached([loss.node], lambda name: [port.node for port in query.by_name[name].inputs])
        held = self._pick([port for port in sorted(self.led) if port.node in above])
        names = [player.name for player in query.players]
        players = tuple(name for name in names if self.choose(2)) or (names[0],)
        # The second term has the direction of the first: opposite terms would cancel, and nothing would be measured.
        return Objective((common, Term((loss,), common.direction, (held,), players)))

    def _loss(self, name: str, value: Value) -> Value:
        other = self._pick(self.values)
        kinds = [lambda: self.q.loss(name, mean_softplus)(value), lambda: self.q.loss(name, mean_overlap)(value, other)]
        if value.type == self.target.type:
            kinds.append(lambda: self.q.loss(name, mean_gap)(value, self.target))
        kind = self.choose(len(kinds))
        if kind == 1:
            self.loose.pop(other.port, None)
        return kinds[kind]()

    def _layer(self, kind: type[nn.Module]) -> None:
        self._player(kind.__name__, kind, self._vector())

    def _pair(self) -> None:
        one, two = self._vector(), self._vector()
        out = self._pick(WIDTHS)
        self._declare("Pair", Factory.of(nn.Bilinear, _width(one), _width(two), out, dtype=torch.float64), one, two)

    def _norm(self) -> None:
        value = self._vector()
        self._declare("Norm", Factory.of(nn.LayerNorm, _width(value), dtype=torch.float64), value)

    def _filter(self) -> None:
        self._player("Filter", Filter, self._pick([value for value in self.values if _is_image(value)]))

    def _pool(self) -> None:
        large = [value for value in self.values if _is_image(value) and value.type.shape[2] != 1]
        pooled = self._operator("pool", (self._pick(large),), nn.MaxPool2d, 2)
        self._operator("flatten", (pooled,), torch.flatten, start_dim=1)

    def _again(self) -> None:
        handle, inputs = self._pick(self.players)
        alike = ([other for other in self.values if other.type == value.type] for value in inputs)
        self._take(handle, tuple(self._pick(values) for values in alike))

    def _add(self) -> None:
        one = self._pick(self.values)
        self._operator("add", (one, self._pick([each for each in self.values if each.type == one.type])), torch.add)

    def _join(self) -> None:
        self._operator("join", (self._vector(), self._vector()), join)

    def _rectify(self) -> None:
        self._operator("rectify", (self._pick(self.values),), nn.ReLU)

    def _bend(self) -> None:
        value = self._vector()
        self._take(self.q.oracle(self._name("Medium"), medium(_width(value))), (value,))

    def _clone(self) -> None:
        handle, inputs = self._pick(self.players)
        played = self.q.clone(self._name("Clone"), handle, soft=0.5)(*inputs)
        self.values += [played] if isinstance(played, Value) else played

    def _player(self, name: str, kind: Callable[..., nn.Module], value: Value) -> None:
        self._declare(name, Factory.of(kind, value.type.shape[1], self._pick(WIDTHS)), value)

    def _declare(self, name: str, factory: Factory, *inputs: Value) -> None:
        handle = self.q.player(self._name(name), factory)
        self.players.append((handle, inputs))
        self._take(handle, inputs)

    def _operator(
        self, name: str, inputs: tuple[Value, ...], operation: Any, *arguments: Any, **keywords: Any
    ) -> Value:
        return self._take(self.q.operator(self._name(name), operation, *arguments, **keywords), inputs)

    def _take(self, handle: Callable[..., Any], inputs: tuple[Value, ...]) -> Value:
        played = handle(*inputs)
        outputs = (played,) if isinstance(played, Value) else played
        led = isinstance(handle, PlayerHandle) or any(value.port in self.led for value in inputs)
        for value in inputs:
            self.loose.pop(value.port, None)
        self.values += outputs
        if led:
            self.loose |= {value.port: value for value in outputs}
            self.led |= {value.port for value in outputs}
        return outputs[0]

    def _vector(self) -> Value:
        return self._pick([value for value in self.values if not _is_image(value)])

    def _name(self, base: str) -> str:
        self.count += 1
        return f"{base}{self.count}"

    def _pick(self, items: Sequence[Any]) -> Any:  # Any: one of the items
        return items[self.choose(len(items))]


def join(*values: Tensor) -> Tensor:
    """Concatenate vectors: (batch, n), (batch, m) -> (batch, n + m)."""
    return torch.cat(values, 1)


def _is_image(value: Value) -> bool:
    return len(value.type.shape) == 4


def _width(value: Value) -> int:
    width = value.type.shape[-1]
    assert isinstance(width, int)  # only the batch is symbolic here
    return width
