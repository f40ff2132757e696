"""Test hand-written backward functions: compare their gradients with finite differences of the forward function.

The responses in a run and the reference gradients call the same backward functions. If a user wrote a backward function
(a `torch.autograd.Function` or a hook) and it is wrong, both have the same error, and comparing them shows nothing. So
each operator with such a backward function is compared with finite differences of its outputs, at the values of a
recorded round. All other operators use torch's own derivatives, which count as right. This module tests each operator
separately; it does not test how the Response graph (R) combines them.
"""

import functools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from antiphon.checks.alone import Alone
from antiphon.checks.held import Held
from antiphon.checks.recorded import RecordedRound, flattened, is_inexact
from antiphon.errors import FOREIGN
from antiphon.grammars import UNKNOWN, Box, Kind, Loss, PlayerLoss, Port
from antiphon.grammars.derived import Derivative
from antiphon.grammars.query import Node
from antiphon.grammars.seeds import stream
from antiphon.grammars.walks import reached

STEPS = (1e-5, 1e-6, 1e-7)
"""Step sizes of finite differences, relative to the changed numbers, tried in this order.

A smaller step helps if a larger step crosses a kink, such as the zero of a ReLU.
"""

AGREED = 1e-5
"""Largest error at which a gradient and a finite difference count as equal, relative to the sum of absolute terms."""

SMOOTH = 0.1
"""Largest ratio of uncertainty to error of a finite difference at which the error proves that a gradient is wrong.

At a larger ratio, a kink of the function may explain the error.
"""

EPSILON = torch.finfo(torch.float64).eps


@final
@dataclass(frozen=True)
class Compared:
    """The result of a test of one operator: its gradients, compared with finite differences of its outputs.

    wrong: the relative error for each input or parameter with a wrong gradient, by index (inputs first, then
    parameters). factor: for the first wrong index, the gradient divided by the finite difference; infinite if that is
    zero. note: a remark for the report; empty if the operator has no hand-written backward function.
    """

    wrong: Mapping[int, float]
    factor: float = 1.0
    note: str = ""


RIGHT = Compared({}, note=f"agrees with differences of its values to {AGREED:g}")


@final
class Differences:
    """Tests every operator of the Query graph: compares its gradients with finite differences of its outputs.

    rounds: recorded rounds. Each operator is tested at the values of the first round in which it was computed.
    """

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

    def wrong(self, player: str, loss: Loss | None) -> tuple[str, float, str] | None:
        """Find the first operator between a player and its loss whose hand-written backward function is wrong.

        loss: the loss that a promise names for this player; None for the grammar's objective.
        Returns (name of the operator, relative error, description in words), or None if no operator is wrong. The name
        "" means that the function `loss` itself is wrong.
        """
        wrong = ((name, found) for name, found in self._way(player, loss) if found.wrong)
        return next(((name, max(found.wrong.values()), _told(name, found)) for name, found in wrong), None)

    def notes(self, player: str, loss: Loss | None) -> list[str]:
        """Return a remark for each hand-written backward function between a player and its loss: how it was tested."""
        found = ((name, each.note) for name, each in self._way(player, loss) if each.note)
        return [f"the backward of {_named(name)}, written by hand, {note}" for name, note in found]

    def _way(self, player: str, loss: Loss | None) -> Iterable[tuple[str, Compared]]:
        """Yield (name of the operator, result of its test) for each tested operator between a player and its loss.

        Errors for inputs that do not depend on the player are left out of the result.
        """
        for node, compared in self._nodes:
            if node.name not in self._above(loss):
                continue
            places = {at for at, port in enumerate(node.inputs) if player in self._players_above(port)}
            if node.owner == player:
                places |= {at for at in compared.wrong if at >= len(node.inputs)}
            if places or node.owner == player:
                yield node.name, replace(compared, wrong={at: compared.wrong[at] for at in places & {*compared.wrong}})
        if isinstance(loss, PlayerLoss) and loss != UNKNOWN:
            yield "", self._loss(loss)

    def _nodes_above(self, loss: Loss | None) -> Collection[str]:
        """Return the names of all nodes of the Query graph on which a loss depends; None means the objective."""
        loss = self._rounds[0].composed.grammar.objective if loss is None else loss
        inputs = loss.inputs if isinstance(loss, PlayerLoss) else loss.losses
        starts = {port.node for port in inputs} & {*self._query.by_name}
        return reached(starts, lambda name: [port.node for port in self._query.by_name[name].inputs])

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
    """Return whether a gradient may flow through a node of the Query graph.

    It may if the node is neither a clone nor a black box, and depends on the parameters of a player.
    """
    values, query = round.composed.values, round.composed.grammar.query
    if node.kind is Kind.CLONE or query.box_of(node) is Box.BLACK:
        return False
    return node.kind is Kind.PLAYER or any(values[port].requires_grad for port in node.inputs)


def _compared(round: RecordedRound, node: Node, promised: bool = False) -> Compared:
    """Compare the gradients of one node with finite differences, at the values of a recorded round.

    promised: whether the node is the loss that a promise names for a player. If computing such a loss alone raises an
    exception, the result is empty.
    """
    moving = [index for index, port in enumerate(node.inputs) if round.composed.values[port].requires_grad]
    alone, held = Alone(round, node), Held()
    try:
        base = alone.play(alone.leaves(moving), mode=held)
    except FOREIGN as error:  # a user's module, operator or oracle may raise anything
        return Compared({}) if promised else _unknown(f"{type(error).__name__}: {error}")
    try:
        if not held.by_hand(base, alone.parameters) and not _is_of_one_by_hand(round, node):
            return Compared({})
        return _Comparison(alone, moving, held, base, stream(round.seed, "differences", node.name)).compared()
    except FOREIGN as error:  # as above
        return _unknown(f"{type(error).__name__}: {error}")


def _is_of_one_by_hand(round: RecordedRound, node: Node) -> bool:
    """Return whether a node is the gradient of another node with a hand-written backward function."""
    if not isinstance(node.view, Derivative):
        return False
    alone, held = Alone(round, round.composed.grammar.query.by_name[node.view.of]), Held()
    return held.by_hand(alone.play(alone.leaves(range(len(alone.inputs))), mode=held), alone.parameters)


@final
@dataclass(frozen=True)
class _Difference:
    """The derivative of a node's outputs along one direction, computed in two ways.

    product: the result of the backward function. difference: the result of a finite difference.
    error: |product - difference|, relative to the sum of absolute terms.
    doubt: how much the finite difference changes with halved or one-sided steps, on the same scale as `error`.
    noise: the largest rounding error of the finite difference (absolute).
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
    """Compares the vector-Jacobian product of one node with finite differences of its outputs.

    moving: indices of the inputs that are changed; all parameters are changed too.
    base: the outputs at the unchanged inputs. held: the values that torch held constant (`detach`, `no_grad`) while it
    computed `base`; they stay constant when inputs change.
    seed: seed of the random cotangents and of the random directions.
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
        """Compare the vector-Jacobian product with finite differences, and return the result.

        First, all inputs and parameters are changed together. If the two derivatives differ, each input and each
        parameter is changed separately, to find which of the gradients is wrong.
        """
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
        """Return the node's outputs, as one vector, after inputs and parameters have been changed.

        arms: a direction for each changed input or parameter, by index (inputs first, then parameters). Each is changed
        by `step` times its direction.
        """
        moved = [each + step * arms[index] if index in arms else each for index, each in enumerate(self._places)]
        count = len(self._alone.inputs)
        inputs = self._alone.leaves(self._inputs, moved[:count])
        return _vector(self._alone.play(inputs, moved[count:], Held(self._held.kept)))

    def _along(self, arms: Mapping[int, Tensor]) -> _Difference:
        """Compute the derivative of the outputs along given directions in two ways, and return both.

        The first way is the node's backward function. The second way is a Richardson-extrapolated finite difference.
        arms: a direction for each changed input or parameter, by index (inputs first, then parameters).
        The step sizes in `STEPS` are tried in turn. If none gives a clear result, the result's `doubt` is infinite.
        """
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
    """Return whether the results for the last two step sizes prove that a gradient is wrong.

    They do if both find an error, and both finite differences are equal. For a strongly curved function a single step
    may be too long; then two step sizes give different finite differences.
    """
    if len(found) < 2 or not all(each.differs for each in found[-2:]):
        return False
    one, two = found[-2:]
    apart = abs(one.difference - two.difference)
    return apart <= SMOOTH * max(abs(one.difference), abs(two.difference)) + 2 * two.noise


def _vector(values: Iterable[Tensor]) -> Tensor:
    """Concatenate all floating-point and complex tensors of `values` to one vector."""
    return flattened([torch.zeros(0), *(each.detach() for each in values if is_inexact(each))])


def _arm(value: Tensor, draw: torch.Generator) -> Tensor:
    """Return a random direction, a tensor with the shape of `value`, in which to change `value`.

    The direction is zero where `value` is zero, because a zero may lie at the kink of a ReLU. Only if all numbers of
    `value` are zero, the direction is not zero.
    """
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
