"""A second reference: derivatives by central differences of values, which use no backward function.

R and the reference by torch use the same vector-Jacobian products of the same operators. If a user wrote a backward (a
`torch.autograd.Function`, a hook) and it is wrong, it is wrong in both. So each operator with such a backward is
compared, alone and at the values of a round, with differences of its outputs. Other operators are not compared: there
torch's derivative is by definition the right one, whatever it holds fixed. How operators are chained (by torch in the
reference, by R in the response) is compared elsewhere.
"""

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from antiphon.checks.alone import Alone
from antiphon.checks.by_hand import ByHand
from antiphon.checks.held import Held
from antiphon.checks.witness import Witnessed
from antiphon.errors import FOREIGN
from antiphon.grammars.guarantee import UNKNOWN, PlayerLoss
from antiphon.grammars.inference import make_operator
from antiphon.grammars.oracle import Box
from antiphon.grammars.query import Kind, Node, Port
from antiphon.grammars.seeds import stream

STEPS = (1e-5, 1e-6, 1e-7)
"""Step sizes, relative to the numbers that are moved. A smaller one helps where a kink lies within a larger one."""

AGREED = 1e-5
"""Largest disagreement of a product and a difference that counts as equal, relative to the sum of absolute terms."""

SMOOTH = 0.1
"""Part of the disagreement. Where one-sided or halved steps differ by more, it may be a kink, and proves nothing."""

EPSILON = torch.finfo(torch.float64).eps

Play = Callable[[Sequence[Tensor], Held | None], Sequence[Tensor]]
"""A function's outputs at changed inputs and parameters (in this order); `Held` replays what it holds fixed."""


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

    def __init__(self, rounds: Iterable[Witnessed]) -> None:
        self._rounds = list(rounds)
        self._nodes: dict[str, tuple[Node, Compared]] = {}
        for round in self._rounds:
            for node in round.composed.grammar.query.nodes:
                if node.name not in self._nodes and Port(node.name) in round.composed.values and _derived(round, node):
                    self._nodes[node.name] = node, _compare_node(round, node)
        self._losses: dict[PlayerLoss, Compared] = {}
        self._behind: dict[str, list[frozenset[str]]] = {}
        self._before: dict[PlayerLoss | None, set[str]] = {}

    def wrong(self, player: str, loss: PlayerLoss | None) -> tuple[str, float, str] | None:
        """The first operator on the player's way to its loss whose derivative is not the derivative of its values.

        Returns (its name, the relative disagreement, a description in words), or None. The name of the promised loss is
        "".
        """
        for node, compared in self._way(player, loss):
            if compared.wrong:
                return f"{node}", max(compared.wrong.values()), _told(f"{node!r}", compared)
        if loss is not None and loss != UNKNOWN and (compared := self._loss(loss)).wrong:
            return "", max(compared.wrong.values()), _told("the promised loss", compared)
        return None

    def notes(self, player: str, loss: PlayerLoss | None) -> list[str]:
        """How each hand-written backward on the player's way to its loss compares with differences: one text each."""
        found = [(repr(node), each.note) for node, each in self._way(player, loss)]
        if loss is not None and loss != UNKNOWN:
            found.append(("the promised loss", self._loss(loss).note))
        return [f"the backward of {who}, written by hand, {note}" for who, note in found if note]

    def _way(self, player: str, loss: PlayerLoss | None) -> Iterable[tuple[str, Compared]]:
        """The operators on a player's way to its loss that disagree or have a note, with the comparison of each."""
        for node, compared in self._told:
            if node.name not in self._above(loss):
                continue
            places = {index for index, players in enumerate(self._players_above(node)) if player in players}
            own = node.owner == player
            if not (places or own):
                continue
            wrong = {
                at: size for at, size in compared.wrong.items() if at in places or (own and at >= len(node.inputs))
            }
            yield node.name, Compared(wrong, compared.factor, compared.note)

    @functools.cached_property
    def _told(self) -> list[tuple[Node, Compared]]:
        return [each for each in self._nodes.values() if each[1].wrong or each[1].note]

    def _players_above(self, node: Node) -> list[frozenset[str]]:
        """For each input of the node, the players that it depends on."""
        if node.name not in self._behind:
            query = self._rounds[0].composed.grammar.query
            self._behind[node.name] = [query.players_above(port) for port in node.inputs]
        return self._behind[node.name]

    def _above(self, loss: PlayerLoss | None) -> set[str]:
        if loss not in self._before:
            self._before[loss] = _above(self._rounds[0].composed.grammar.query.by_name, self._ends(loss))
        return self._before[loss]

    def _ends(self, loss: PlayerLoss | None) -> Sequence[Port]:
        return self._rounds[0].composed.grammar.objective.losses if loss is None else loss.inputs

    def _loss(self, loss: PlayerLoss) -> Compared:
        if loss not in self._losses:
            playing = [each for each in self._rounds if each.composed.plays(loss)]
            self._losses[loss] = _compare_loss(playing[0], loss) if playing else Compared({})
        return self._losses[loss]


def _told(who: str, compared: Compared) -> str:
    if math.isinf(compared.factor):
        return f"the backward of {who} tells something, where differences of its values say that nothing changes"
    return f"the backward of {who} tells {compared.factor:.4g} times what differences of its values say"


def _above(by_name: Mapping[str, Node], ends: Iterable[Port]) -> set[str]:
    found, waiting = set[str](), [port.node for port in ends if port.node in by_name]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += [port.node for port in by_name[name].inputs]
    return found


def _derived(round: Witnessed, node: Node) -> bool:
    """Whether a gradient may pass the node: not a clone, not a black box, and it depends on a player."""
    values, query = round.composed.values, round.composed.grammar.query
    if node.kind is Kind.CLONE or query.box_of(node) is Box.BLACK:
        return False
    return node.kind is Kind.PLAYER or any(values[port].requires_grad for port in node.inputs)


def _compare_node(round: Witnessed, node: Node) -> Compared:
    values = round.composed.values
    moving = [index for index, port in enumerate(node.inputs) if values[port].requires_grad]
    try:
        alone = Alone(round, node)
        if not alone.by_hand(moving):
            return Compared({})
        count = len(alone.inputs)
        places = [*alone.inputs, *(each.detach().clone() for each in alone.parameters)]
        moving += range(count, len(places))
        return _compare(
            lambda at, held: alone.play(at[:count], at[count:], held),
            lambda cotangents: alone.product(cotangents, moving),
            places,
            moving,
            stream(round.seed, "differences", node.name),
        )
    except FOREIGN as error:  # a user's module, operator or oracle may raise anything
        return _unknown(f"{type(error).__name__}: {error}")


def _compare_loss(round: Witnessed, loss: PlayerLoss) -> Compared:
    function, values = make_operator(loss.operation), round.composed.values
    places = [values[port].detach() for port in loss.inputs]
    moving = [index for index, port in enumerate(loss.inputs) if values[port].requires_grad]

    def product(cotangents: Sequence[Tensor]) -> list[Tensor]:
        leaves = [each.clone().requires_grad_(index in moving) for index, each in enumerate(places)]
        found = function(*leaves)
        asked = [leaves[index] for index in moving]
        if not asked or not found.requires_grad:
            return [torch.zeros_like(each) for each in places]
        told = torch.autograd.grad(found, asked, cotangents[0], allow_unused=True, materialize_grads=True)
        by_place = dict(zip(moving, told, strict=True))
        return [by_place.get(index, torch.zeros_like(each)) for index, each in enumerate(places)]

    def play(at: Sequence[Tensor], held: Held | None) -> Sequence[Tensor]:
        if held is None:
            return [function(*at)]
        with held:
            return [function(*at)]

    mode = ByHand()
    try:
        with mode:
            found = function(*_recorded(places, moving))
    except FOREIGN:  # it needs torch's records of Q, as a loss that differentiates does, or may raise anything
        return Compared({})
    try:
        if not mode.wrote([found], ()):
            return Compared({})
        return _compare(play, product, places, moving, stream(round.seed, "differences", repr(loss)))
    except FOREIGN as error:  # a user's function may raise anything
        return _unknown(f"{type(error).__name__}: {error}")


def _compare(
    play: Play,
    product: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    places: Sequence[Tensor],
    moving: Sequence[int],
    seed: int,
) -> Compared:
    def ask(at: Sequence[Tensor], held: Held | None) -> list[Tensor]:
        return [each.detach() for each in play(_recorded(at, recorded), held)]

    draw, held, recorded = torch.Generator().manual_seed(seed), Held(), frozenset(moving)
    base, again = ask(places, held), ask(places, Held(held.kept))
    if not all(torch.equal(one, two) for one, two in zip(base, again, strict=True)):
        return _unknown("it does not play the same twice")
    cotangents = [_normal(each, draw) for each in base]
    told = product(cotangents)
    moving = [index for index in moving if places[index].is_floating_point() or places[index].is_complex()]
    if not moving:
        return Compared({})
    arms = {index: _arm(places[index], draw) for index in moving}
    joint = _difference(ask, held, places, arms, cotangents, base, told)
    if joint.agrees:
        return RIGHT
    each = {index: _difference(ask, held, places, {index: arms[index]}, cotangents, base, told) for index in moving}
    wrong = {index: found.error for index, found in each.items() if found.differs}
    if wrong:  # along one direction a kink may look smooth
        other = {index: _arm(places[index], draw) for index in wrong}
        once_more = (_difference(ask, held, places, {index: other[index]}, cotangents, base, told) for index in wrong)
        if not all(found.differs for found in once_more):
            return _unknown("it has a kink there")
        first = each[next(iter(wrong))]
        return Compared(wrong, first.product / first.difference if first.difference else float("inf"))
    if all(found.agrees for found in each.values()):
        return RIGHT
    return _unknown("it has a kink there")


def _unknown(why: str) -> Compared:
    return Compared({}, note=f"was not compared with differences: {why}")


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


def _difference(
    play: Play,
    held: Held,
    places: Sequence[Tensor],
    arms: Mapping[int, Tensor],
    cotangents: Sequence[Tensor],
    base: Sequence[Tensor],
    told: Sequence[Tensor],
) -> _Difference:
    """Compare the product along `arms`, by torch, with differences (Richardson extrapolation over two steps)."""

    def at(step: float) -> list[Tensor]:
        moved = [each + step * arms[index] if index in arms else each for index, each in enumerate(places)]
        return list(play(moved, Held(held.kept)))

    product = sum(_inner(told[index], arm) for index, arm in arms.items())
    known = sum(_absolute(told[index], arm) for index, arm in arms.items())
    found: list[_Difference] = []
    for step in STEPS:
        ahead, behind, near, nigh = at(step), at(-step), at(step / 2), at(-step / 2)
        whole = _slope(cotangents, ahead, behind, 2 * step)
        half = _slope(cotangents, near, nigh, step)
        forward, backward = _slope(cotangents, ahead, base, step), _slope(cotangents, base, behind, step)
        size = known + sum(map(_absolute, cotangents, _less(ahead, behind))) / (2 * step)
        noise = 4 * EPSILON * sum(map(_absolute, cotangents, base)) / step
        difference = (4 * half - whole) / 3
        scale = max(size, noise / AGREED, 1e-300)
        doubt = max(abs(whole - half), abs(forward - backward) - 10 * noise, 0.0)
        found.append(_Difference(product, difference, abs(product - difference) / scale, doubt / scale, noise))
        if found[-1].agrees or _confirmed(found):
            return found[-1]
    return replace(found[0], doubt=math.inf)


def _confirmed(found: Sequence[_Difference]) -> bool:
    """Whether the last two steps both find the product wrong, and find the same slope.

    A single step may be too long for a function that curves within it. Two such steps give different slopes.
    """
    if len(found) < 2 or not all(each.differs for each in found[-2:]):
        return False
    one, two = found[-2:]
    apart = abs(one.difference - two.difference)
    return apart <= SMOOTH * max(abs(one.difference), abs(two.difference)) + 2 * two.noise


def _slope(cotangents: Sequence[Tensor], ahead: Sequence[Tensor], behind: Sequence[Tensor], step: float) -> float:
    return sum(map(_inner, cotangents, _less(ahead, behind))) / step


def _less(ahead: Sequence[Tensor], behind: Sequence[Tensor]) -> list[Tensor]:
    return [
        one - two if one.is_floating_point() or one.is_complex() else one
        for one, two in zip(ahead, behind, strict=True)
    ]


def _recorded(values: Sequence[Tensor], moving: Collection[int]) -> list[Tensor]:
    """Copies of the values with `requires_grad` as in a round, so that an operator holds the same values fixed."""
    floats = [each.is_floating_point() or each.is_complex() for each in values]
    return [each.clone().requires_grad_(index in moving and floats[index]) for index, each in enumerate(values)]


def _arm(value: Tensor, draw: torch.Generator) -> Tensor:
    """A random direction, each number scaled by the number that it moves: a zero at a rectifier's kink stays zero."""
    drawn = torch.randn(value.shape, generator=draw, dtype=value.dtype)
    if value.ndim > 1 and value.shape[-1] == value.shape[-2] and torch.equal(value, value.mT):
        drawn = (drawn + drawn.mT) / 2  # a function of symmetric matrices may read one triangle
    return drawn * value if value.any() else drawn


def _normal(value: Tensor, draw: torch.Generator) -> Tensor:
    if not (value.is_floating_point() or value.is_complex()):
        return torch.zeros_like(value)
    return torch.randn(value.shape, generator=draw, dtype=value.dtype)


def _inner(one: Tensor, two: Tensor) -> float:
    if not (one.is_floating_point() or one.is_complex()):
        return 0.0
    return float((one.conj() * two).sum().real)


def _absolute(one: Tensor, two: Tensor) -> float:
    if not (one.is_floating_point() or one.is_complex()):
        return 0.0
    return float((one.abs() * two.abs()).sum())
