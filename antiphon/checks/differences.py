"""A second reference: derivatives by central differences of values, which use no backward function.

R and the reference by torch use the same vector-Jacobian products of the same operators. If a user wrote a backward (a
`torch.autograd.Function`, a hook) and it is wrong, it is wrong in both. So each operator with such a backward is
compared, alone and at the values of a round, with differences of its outputs. Other operators are not compared: there
torch's derivative is by definition the right one, whatever it holds fixed. How operators are chained (by torch in the
reference, by R in the response) is compared elsewhere.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from antiphon.checks.alone import Alone
from antiphon.checks.held import Held
from antiphon.checks.recorded import RecordedRound, flattened, is_inexact
from antiphon.errors import FOREIGN
from antiphon.grammars import UNKNOWN, Box, Kind, PlayerLoss, Port
from antiphon.grammars.query import Node
from antiphon.grammars.seeds import stream

STEPS = (1e-5, 1e-6, 1e-7)
"""Step sizes, relative to the numbers that are moved. A smaller one helps where a kink lies within a larger one."""

AGREED = 1e-5
"""Largest disagreement of a product and a difference that counts as equal, relative to the sum of absolute terms."""

SMOOTH = 0.1
"""Part of the disagreement. Where one-sided or halved steps differ by more, it may be a kink, and proves nothing."""

EPSILON = torch.finfo(torch.float64).eps


@final
@dataclass(frozen=True)
class Compared:
    """Result of comparing a function's vector-Jacobian product with differences.

    wrong: the relative disagreement, by index (inputs, then parameters).
    factor: the product over the difference, where they disagree.
    note: a remark for the report; empty if torch wrote the backward.
    """

    wrong: Mapping[int, float]
    factor: float = 1.0
    note: str = ""


RIGHT = Compared({}, note=f"agrees with differences of its values to {AGREED:g}")


@final
class Differences:
    """Comparisons of all operators of some rounds; each operator is compared once."""

    def __init__(self, rounds: Iterable[RecordedRound]) -> None:
        self._rounds = list(rounds)
        self._query = self._rounds[0].composed.grammar.query
        nodes: dict[str, tuple[Node, Compared]] = {}
        for round in self._rounds:
            for node in self._query.nodes:
                if node.name not in nodes and Port(node.name) in round.composed.values and _derived(round, node):
                    nodes[node.name] = node, _compared(round, node)
        self._nodes = [each for each in nodes.values() if each[1].wrong or each[1].note]
        self._loss = functools.cache(self._compared_loss)
        self._above = functools.cache(self._nodes_above)
        self._players_above = functools.cache(self._query.players_above)

    def wrong(self, player: str, loss: PlayerLoss | None) -> tuple[str, float, str] | None:
        """The first operator on the player's way to its loss whose derivative is not the derivative of its values.

        Returns (its name, the relative disagreement, a description in words), or None. The name of the promised loss is
        "".
        """
        wrong = ((name, found) for name, found in self._way(player, loss) if found.wrong)
        return next(((name, max(found.wrong.values()), _told(name, found)) for name, found in wrong), None)

    def notes(self, player: str, loss: PlayerLoss | None) -> list[str]:
        """How each hand-written backward on the player's way to its loss compares with differences: one text each."""
        found = ((name, each.note) for name, each in self._way(player, loss) if each.note)
        return [f"the backward of {_named(name)}, written by hand, {note}" for name, note in found]

    def _way(self, player: str, loss: PlayerLoss | None) -> Iterable[tuple[str, Compared]]:
        """The comparisons on a player's way to its loss that disagree or have a note, with the names of operators."""
        for node, compared in self._nodes:
            if node.name not in self._above(loss):
                continue
            places = {at for at, port in enumerate(node.inputs) if player in self._players_above(port)}
            if node.owner == player:
                places |= {at for at in compared.wrong if at >= len(node.inputs)}
            if places or node.owner == player:
                yield node.name, replace(compared, wrong={at: compared.wrong[at] for at in places & {*compared.wrong}})
        if loss is not None and loss != UNKNOWN:
            yield "", self._loss(loss)

    def _nodes_above(self, loss: PlayerLoss | None) -> set[str]:
        """The names of the nodes of Q that a loss depends on."""
        objective = self._rounds[0].composed.grammar.objective
        found = {port.node for port in (objective.losses if loss is None else loss.inputs)}
        for node in reversed(self._query.nodes):
            if node.name in found:
                found |= {port.node for port in node.inputs}
        return found

    def _compared_loss(self, loss: PlayerLoss) -> Compared:
        node = Node(repr(loss), Kind.LOSS, "", loss.inputs, (), "", operator=loss.operation)
        playing = (each for each in self._rounds if each.composed.plays(loss))
        return next((_compared(round, node, promised=True) for round in playing), Compared({}))


def _named(name: str) -> str:
    return repr(name) if name else "the promised loss"


def _told(name: str, compared: Compared) -> str:
    if math.isinf(compared.factor):
        return f"the backward of {_named(name)} returns a gradient, where differences of its values are zero"
    return f"the backward of {_named(name)} returns {compared.factor:.4g} times the derivative by differences"


def _derived(round: RecordedRound, node: Node) -> bool:
    """Whether a gradient may pass the node: not a clone, not a black box, and it depends on a player."""
    values, query = round.composed.values, round.composed.grammar.query
    if node.kind is Kind.CLONE or query.box_of(node) is Box.BLACK:
        return False
    return node.kind is Kind.PLAYER or any(values[port].requires_grad for port in node.inputs)


def _compared(round: RecordedRound, node: Node, promised: bool = False) -> Compared:
    """Compare one node. promised: it is a promised loss, which may need torch's records of Q: then it has no note."""
    moving = [index for index, port in enumerate(node.inputs) if round.composed.values[port].requires_grad]
    alone, held = Alone(round, node), Held()
    try:
        base = alone.play(alone.leaves(moving), mode=held)
    except FOREIGN as error:  # a user's module, operator or oracle may raise anything
        return Compared({}) if promised else _unknown(f"{type(error).__name__}: {error}")
    try:
        if not held.by_hand(base, alone.parameters):
            return Compared({})
        return _Comparison(alone, moving, held, base, stream(round.seed, "differences", node.name)).compared()
    except FOREIGN as error:  # as above
        return _unknown(f"{type(error).__name__}: {error}")


@final
@dataclass(frozen=True)
class _Difference:
    """A product beside a difference along one direction.

    error: their disagreement, relative to the sum of absolute terms.
    doubt: how far other steps differ, on the same scale.
    noise: what rounding can add to the difference.
    """

    product: float
    difference: float
    error: float
    doubt: float
    noise: float

    @property
    def agrees(self) -> bool:
        return self.error <= AGREED

    @property
    def differs(self) -> bool:
        return self.error > AGREED and self.doubt < SMOOTH * self.error


@final
class _Comparison:
    """A node's vector-Jacobian product beside differences of its outputs, which are one vector here.

    moving: indices of the inputs to move. held: the record of the play that returned `base`.
    """

    def __init__(self, alone: Alone, moving: Sequence[int], held: Held, base: Sequence[Tensor], seed: int) -> None:
        self._alone, self._inputs, self._held = alone, moving, held
        self._places = [*alone.inputs, *(each.detach().clone() for each in alone.parameters)]
        self._draw, self._base = torch.Generator().manual_seed(seed), _vector(base)
        cotangents = [_normal(each, self._draw) if is_inexact(each) else None for each in base]
        self._cotangent = _vector([each for each in cotangents if each is not None])
        self._told = alone.product(cotangents, moving)
        parameters = range(len(alone.inputs), len(self._places))
        self._moving = [each for each in (*moving, *parameters) if is_inexact(self._places[each])]

    def compared(self) -> Compared:
        """The result, with the inputs and parameters where product and differences disagree."""
        if not torch.equal(self._base, self._at({}, 0.0)):
            return _unknown("it does not return the same values twice")
        arms = {index: _arm(self._places[index], self._draw) for index in self._moving}
        if not arms:
            return Compared({})
        if self._along(arms).agrees:
            return RIGHT
        each = {index: self._along({index: arm}) for index, arm in arms.items()}
        wrong = {index: found.error for index, found in each.items() if found.differs}
        if not wrong and all(found.agrees for found in each.values()):
            return RIGHT
        other = {index: _arm(self._places[index], self._draw) for index in wrong}
        # A kink may look smooth along one direction.
        if not wrong or not all(self._along({index: arm}).differs for index, arm in other.items()):
            return _unknown("it has a kink there")
        first = each[next(iter(wrong))]
        return Compared(wrong, first.product / first.difference if first.difference else math.inf)

    def _at(self, arms: Mapping[int, Tensor], step: float) -> Tensor:
        """The outputs at inputs and parameters that are moved along `arms`."""
        moved = [each + step * arms[index] if index in arms else each for index, each in enumerate(self._places)]
        count = len(self._alone.inputs)
        inputs = self._alone.leaves(self._inputs, moved[:count])
        return _vector(self._alone.play(inputs, moved[count:], Held(self._held.kept)))

    def _along(self, arms: Mapping[int, Tensor]) -> _Difference:
        """Compare the product along `arms`, by torch, with differences (Richardson extrapolation over two steps)."""
        product = sum(_inner(self._told[index], arm) for index, arm in arms.items())
        known = sum(_absolute(self._told[index], arm) for index, arm in arms.items())
        found: list[_Difference] = []
        for step in STEPS:
            ahead, behind, near, nigh = (self._at(arms, step * each) for each in (1, -1, 0.5, -0.5))
            whole, half = self._slope(ahead, behind, 2 * step), self._slope(near, nigh, step)
            forward, backward = self._slope(ahead, self._base, step), self._slope(self._base, behind, step)
            size = known + _absolute(self._cotangent, ahead - behind) / (2 * step)
            noise = 4 * EPSILON * _absolute(self._cotangent, self._base) / step
            difference = (4 * half - whole) / 3
            scale = max(size, noise / AGREED, 1e-300)
            doubt = max(abs(whole - half), abs(forward - backward) - 10 * noise, 0.0)
            found.append(_Difference(product, difference, abs(product - difference) / scale, doubt / scale, noise))
            if found[-1].agrees or _confirmed(found):
                return found[-1]
        return replace(found[0], doubt=math.inf)

    def _slope(self, ahead: Tensor, behind: Tensor, step: float) -> float:
        return _inner(self._cotangent, ahead - behind) / step


def _unknown(why: str) -> Compared:
    return Compared({}, note=f"was not compared with differences: {why}")


def _confirmed(found: Sequence[_Difference]) -> bool:
    """Whether the last two steps both find the product wrong, and find the same slope.

    A single step may be too long for a function that curves within it. Two such steps give different slopes.
    """
    if len(found) < 2 or not all(each.differs for each in found[-2:]):
        return False
    one, two = found[-2:]
    apart = abs(one.difference - two.difference)
    return apart <= SMOOTH * max(abs(one.difference), abs(two.difference)) + 2 * two.noise


def _vector(values: Iterable[Tensor]) -> Tensor:
    """All floating-point and complex numbers of the values."""
    return flattened([torch.zeros(0), *(each.detach() for each in values if is_inexact(each))])


def _arm(value: Tensor, draw: torch.Generator) -> Tensor:
    """A random direction, each number scaled by the number that it moves: a zero at a rectifier's kink stays zero."""
    drawn = _normal(value, draw)
    if value.ndim > 1 and value.shape[-1] == value.shape[-2] and torch.equal(value, value.mT):
        drawn = (drawn + drawn.mT) / 2  # a function of symmetric matrices may read one triangle
    return drawn * value if value.any() else drawn


def _normal(value: Tensor, draw: torch.Generator) -> Tensor:
    return torch.randn(value.shape, generator=draw, dtype=value.dtype)


def _inner(one: Tensor, two: Tensor) -> float:
    return float((one.conj() * two).sum().real)


def _absolute(one: Tensor, two: Tensor) -> float:
    return float((one.abs() * two.abs()).sum())
