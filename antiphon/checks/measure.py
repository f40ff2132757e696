"""Measuring one promise on one instance: one figure for each player to whom it was made."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from antiphon.checks.arrival import measure_arrival
from antiphon.checks.instance import Instance, flat_gradient
from antiphon.checks.locate import locate
from antiphon.checks.measured import DIVERGED, IDLE, NOT_FINITE, Measured, beyond, by_player, worst
from antiphon.checks.places import START
from antiphon.checks.rounding import resolved, terms
from antiphon.checks.witness import Witnessed
from antiphon.errors import GrammarError
from antiphon.grammars.factory import Factory
from antiphon.grammars.guarantee import (
    UNKNOWN,
    Arrives,
    Descent,
    Estimated,
    Exact,
    Insulated,
    Learned,
    PlayerLoss,
    Promise,
    SignCorrect,
    Surrogate,
)
from antiphon.grammars.inference import make_operator
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.response import PARAMETERS, Product, ResponseNode, Seed, Tap

UNCERTAIN = 5.0
"""Standard errors that a mean over draws may be off: a normal one is, once in two million times."""

ROUNDING = 1e-9
"""Relative. What a mean of float64 numbers may lack."""

NOTHING = 1e-12
"""Relative to the largest number of its kind, in float64. Below it a number is taken for zero."""

_NOT_KNOWN = "the truth is not known for these modules"


def measure(promise: Promise, instance: Instance) -> list[Measured]:
    """One figure per player. Raises AntiphonError where the instance cannot be played, or the promise does not fit."""
    players = promise.players or instance.players
    _refuse_strangers(instance, promise)
    if getattr(promise, "loss", None) == UNKNOWN:
        return [Measured(player, 0.0, 0.0, skipped=_NOT_KNOWN) for player in players]
    return instance.measured(promise, lambda promised: _measured(promised, instance, players))


def _measured(promise: Promise, instance: Instance, players: tuple[str, ...]) -> list[Measured]:
    measured: Callable[[Any, Instance, tuple[str, ...]], list[Measured]] = _MEASURES[type(promise)]
    return [_with_evidence(promise, instance, each) for each in measured(promise, instance, players)]


def _with_evidence(promise: Promise, instance: Instance, found: Measured) -> Measured:
    """The figure; where the gradient that it was held against is not the derivative of what is played, a failure."""
    if not isinstance(promise, Exact | SignCorrect | Descent | Estimated) or not found.kept or instance.rounding:
        return found  # differences need all digits of float64
    differences = instance.places.differences
    if wrong := differences.wrong(found.player, promise.loss):
        operator, error, how = wrong
        value = error if isinstance(promise, Exact) else math.inf
        return Measured(found.player, value, found.bound, operator, how)
    if found.skipped:
        return found
    notes = [f"{place} it was not measured, for {why}" for place, why in instance.places.notes.items()]
    notes += differences.notes(found.player, promise.loss)
    return replace(found, detail="; ".join(filter(None, (found.detail, *notes))))


def _refuse_strangers(instance: Instance, promise: Promise) -> None:
    for player in promise.players:
        if player not in instance.players:
            raise GrammarError(
                f"grammar {instance.grammar.name!r} promises something to {player!r}, which is none of its players; "
                f"expected one of {list(instance.players)}. Correct the promise."
            )


def exactness(promise: Exact, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """The largest difference between response and gradient, over the size of the gradient's terms (see `rounding`)."""
    return _in_all_places(_exact, promise, instance, players)


def _in_all_places(
    measured: Callable[[Any, Instance, Witnessed, str], Measured],  # Any: the promise that it measures
    promise: Exact | SignCorrect | Descent,
    instance: Instance,
    players: Iterable[str],
) -> list[Measured]:
    """The worst figure of each player at the first place at which it is broken, or else of all places and all kinds of
    rounds in which the player hears something and its loss is played."""
    found: list[Measured] = []
    waiting = list(players)
    for place, rounds in instance.places:
        here = [
            _said_of(place, measured(promise, instance, round, player))
            for round in rounds
            if _premise_holds(promise, place, round) and round.composed.plays(promise.loss)
            for player in waiting
            if player in round.told or isinstance(promise, Exact)
        ]
        broken = {each.player for each in here if not each.kept}
        waiting = [player for player in waiting if player not in broken]
        found += here
        if not waiting:
            break
    return list(map(worst, by_player(found, players)))


def _premise_holds(promise: Promise, place: str, round: Witnessed) -> bool:
    """Instances satisfy a premise at the start; elsewhere only the promise's own function can say so."""
    holds = getattr(promise, "holds", None)
    if place == START or not getattr(promise, "premise", ""):
        return True
    return holds is not None and bool(_asked(holds, round))


def _said_of(place: str, measured: Measured) -> Measured:
    """The figure; where it breaks the promise elsewhere than at the start, it is said where."""
    if measured.kept or place == START:
        return measured
    return replace(measured, detail=f"{measured.detail}, {place}" if measured.detail else place)


def _exact(promise: Exact, instance: Instance, round: Witnessed, player: str) -> Measured:
    gradient = flat_gradient(round.composed, player, promise.loss)
    if not bool(gradient.isfinite().all()):
        return Measured(player, 0.0, promise.tolerance, skipped=NOT_FINITE)
    told = round.told.get(player, torch.zeros_like(gradient))
    difference, largest = float((told - gradient).abs().max()), float(gradient.abs().max())
    if difference == largest == 0:
        return Measured(player, 0.0, promise.tolerance, skipped=IDLE)
    near = difference <= promise.tolerance * largest
    size = largest if near else terms(round, player, promise.loss, gradient)
    if difference <= promise.tolerance * size:
        why = _no_evidence(round, player, promise, largest, size)
        return Measured(player, difference / size, promise.tolerance, skipped=why)
    error = difference / size if size > 0 else math.inf
    if player not in round.told:
        detail = f"nothing is told in round {round.number}, where a gradient is expected"
        return Measured(player, error, promise.tolerance, f"deliver {player}", detail)
    operator, detail = locate(round, player, promise.loss)
    return Measured(player, error, promise.tolerance, operator, detail)


def _no_evidence(round: Witnessed, player: str, promise: Exact, largest: float, size: float) -> str:
    """Why a response that is right proves nothing, if it does not."""
    if largest <= promise.tolerance * size:
        return f"its gradient cancels to {largest:.1g} of terms of {size:.1g}: nothing told would pass too"
    if not resolved(round, player, promise.loss, size):
        return f"its gradient is at most {size:.1g}, which float64 cannot tell from none in the loss"
    return ""


def sign(promise: SignCorrect, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """How many pairs of example and unit are told the opposite sign."""
    return _in_all_places(_sign, promise, instance, players)


def _sign(promise: SignCorrect, instance: Instance, round: Witnessed, player: str) -> Measured:
    if wrong := _delivered(instance, round, player):
        return wrong
    arriving = _arriving(instance, round, player, promise.loss)
    if not arriving:
        return Measured(player, float("inf"), 0.0, "", "no message arrives at a product of the player's own")
    pairs, operator = sum(told.numel() for _, told, _ in arriving), arriving[0][0].node
    if not any(bool(told.any()) for _, told, _ in arriving):
        silent = sum(int((_signs(gradient) != 0).sum()) for _, _, gradient in arriving)
        detail = f"{pairs} pairs; nothing is told, where a gradient is expected"
        return Measured(player, silent, 0.0, operator, detail, "" if silent else IDLE)
    opposite, first = 0, ""
    for port, told, gradient in arriving:
        against = _signs(told) * _signs(gradient) < 0
        opposite += int(against.sum())
        if against.any() and not first:
            example = tuple(against.nonzero()[0].tolist())
            first = f"; at {port!r}, {example}: told {float(told[example]):.3g}, true {float(gradient[example]):.3g}"
            operator = port.node
    return Measured(player, opposite, 0.0, operator if opposite else "", f"{pairs} pairs{first}")


def _delivered(instance: Instance, round: Witnessed, player: str) -> Measured | None:
    """What is wrong where the player is told no number, or something else than a positive multiple of what its own
    products tell; None where nothing is."""
    names = [node.name for node in _products(instance, player)]
    ports = [port for port in (Port(name, PARAMETERS) for name in names) if port in round.messages]
    parts = [round.messages[port].reshape(-1) for port in ports]
    told, expected = round.told[player], sum(parts, torch.zeros_like(round.told[player]))
    arrived = [each for name in names for each in _messages(instance, round, name)]
    if not all(bool(each.isfinite().all()) for each in [told, *arrived]):
        return Measured(player, float("nan"), 0.0, names[-1] if names else "", "what is told is not finite")
    if not parts or not (told.any() or expected.any()):
        return None
    if told.any() and expected.any() and _angle(told, expected) < math.degrees(math.sqrt(torch.finfo(told.dtype).eps)):
        return None
    return Measured(player, float("inf"), 0.0, names[-1], f"{player!r} is told something else than its products tell")


def _messages(instance: Instance, round: Witnessed, name: str) -> list[Tensor]:
    return [round.messages[port] for port in instance.grammar.response.by_name[name].inputs if port in round.messages]


def _arriving(
    instance: Instance, round: Witnessed, player: str, loss: PlayerLoss | None
) -> list[tuple[Port, Tensor, Tensor]]:
    """(port of Q, message, gradient) for every output of the player's nodes of which something is told."""
    found: list[tuple[Port, Tensor, Tensor]] = []
    for node in _products(instance, player):
        for index, message in enumerate(node.cotangents):
            port = Port(node.of, index)
            if message is not None and message in round.messages and port in round.composed.values:
                told = round.composed.cotangents([port], loss)
                gradient = told.get(port, torch.zeros_like(round.messages[message]))
                found.append((port, round.messages[message], gradient))
    return found


def _products(instance: Instance, player: str) -> list[Product]:
    query = instance.grammar.query
    nodes = (node for node in instance.grammar.response.nodes if isinstance(node, Product) and node.parameters)
    return [node for node in nodes if query.by_name[node.of].owner == player]


def _nothing(values: Tensor) -> float:
    return NOTHING * torch.finfo(values.dtype).eps / torch.finfo(torch.float64).eps


def _signs(values: Tensor) -> Tensor:
    """-1, 0 or 1; what is nothing beside the largest counts as zero."""
    return torch.where(values.abs() > _nothing(values) * values.abs().max(), values.sign(), 0.0)


def descent(promise: Descent, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """The angle between response and gradient, in degrees; 180 where only the response is nothing."""
    return _in_all_places(_descent, promise, instance, players)


def _descent(promise: Descent, instance: Instance, round: Witnessed, player: str) -> Measured:
    gradient, told = flat_gradient(round.composed, player, promise.loss), round.told[player]
    if not bool(gradient.isfinite().all()):
        return Measured(player, 0.0, promise.degrees, skipped=NOT_FINITE)
    if not gradient.any() or float(gradient.abs().max()) <= _nothing(gradient) * terms(
        round, player, promise.loss, gradient
    ):
        return Measured(player, 0.0, promise.degrees, skipped="there is no gradient here to hold an angle to")
    angle = _angle(told, gradient) if float(told.norm()) > 0 else 180.0
    if angle < promise.degrees:
        return Measured(player, angle, promise.degrees)
    operator, detail = locate(round, player, promise.loss)
    return Measured(player, max(angle, promise.degrees + 1e-9), promise.degrees, operator, detail)


def _angle(one: Tensor, two: Tensor) -> float:
    # Not the arc cosine, which loses half of the digits near 0 and 180 degrees.
    one, two = one / one.norm(), two / two.norm()
    return float(torch.rad2deg(2 * torch.atan2((one - two).norm(), (one + two).norm())))


def estimate(promise: Estimated, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """The bias over the gradient, beyond what the draws leave uncertain."""
    found = [
        _said_of(place, _estimate(promise, rounds, player))
        for place, rounds in _drawn(promise, instance)
        for player in players
    ]
    return list(map(worst, by_player(found, players)))


def _drawn(promise: Estimated | Surrogate, instance: Instance) -> Iterable[tuple[str, list[Witnessed]]]:
    """As many rounds as the promise asks for, at each place at which its premise holds."""
    if getattr(promise, "premise", "") and getattr(promise, "holds", None) is None:
        return [(START, instance.rounds(promise.draws))]
    places = instance.places.draws(promise.draws)
    return [(place, rounds) for place, rounds in places if _premise_holds(promise, place, rounds[0])]


def _estimate(promise: Estimated, rounds: list[Witnessed], player: str) -> Measured:
    told = torch.stack([round.told[player] for round in rounds])
    gradients = torch.stack([flat_gradient(round.composed, player, promise.loss) for round in rounds])
    truth, error = gradients.mean(0), told - gradients
    scale = max(float(truth.norm()), 1e-300)
    uncertain = UNCERTAIN * float(error.var(0).sum().div(len(rounds)).sqrt())
    off = float(error.mean(0).norm())
    if off == 0 and not gradients.any():
        return Measured(player, 0.0, promise.bias, skipped=IDLE)
    bias, deviation = beyond(off, uncertain) / scale, float(told.var(0).sum().sqrt()) / scale
    detail = f"bias {off / scale:.2g} ± {uncertain / scale:.2g}, deviation {deviation:.2g} of the gradient"
    if bias <= promise.bias and 1 - uncertain / scale <= promise.bias < 1:
        few = f"{len(rounds)} draws are too few: a player who is told nothing would pass ({detail})"
        return Measured(player, bias, promise.bias, skipped=few)
    if bias <= promise.bias:
        return Measured(player, bias, promise.bias, detail=detail)
    operator, where = locate(rounds[0], player, promise.loss)
    return Measured(player, bias, promise.bias, operator, f"{detail}; {where}" if where else detail)


def surrogate(promise: Surrogate, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """By how much the objective is below what it is to bound."""
    truth = promise.truth
    if truth is None:
        return [Measured("all", 0.0, 0.0, skipped=_NOT_KNOWN)]
    return [worst([_said_of(place, _bound(truth, rounds)) for place, rounds in _drawn(promise, instance)])]


def _bound(truth: Factory, rounds: list[Witnessed]) -> Measured:
    pairs = [(float(each.composed.loss().detach()), float(_asked(truth, each))) for each in rounds]
    bound, meant = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    gap = bound - meant
    uncertain = UNCERTAIN * float(gap.std() / len(pairs) ** 0.5) if len(pairs) > 1 else 0.0
    slack = ROUNDING * max(1.0, float(meant.abs().max()))
    detail = f"gap {float(gap.mean()):.4g} ± {uncertain:.2g} above {float(meant.mean()):.4g}"
    losses = ", ".join(port.node for port in rounds[0].composed.grammar.objective.losses)
    return Measured("all", beyond(-float(gap.mean()), uncertain), slack, losses, detail)


def optimum(promise: Learned, instance: Instance, players: tuple[str, ...]) -> list[Measured]:
    """How far from the optimum the players are when they alone have learned."""
    if promise.distance is None:
        return [Measured(", ".join(players), 0.0, 0.0, skipped=_NOT_KNOWN)]
    states = instance.learned_by(frozenset(players))
    if diverged := instance.diverged(states):
        return [Measured(", ".join(players), math.nan, promise.tolerance, diverged, DIVERGED)]
    (round,) = instance.rounds_after(states)
    (before,) = instance.rounds()
    distance, began = float(_asked(promise.distance, round)), float(_asked(promise.distance, before))
    detail = f"{began:.3g} before {instance.learning.rounds} rounds"
    there = "they were there before they learned" if began <= promise.tolerance >= distance else ""
    return [Measured(", ".join(players), distance, promise.tolerance, players[0], detail, there)]


def _asked(function: Any, round: Witnessed) -> Tensor:  # Any: a Factory
    composed = round.composed
    with torch.no_grad():
        return make_operator(function)(composed.modules, composed.values)


def insulation(promise: Insulated, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """How many nodes of R that a player's response depends on belong to the sources."""
    return [_insulation(promise, instance, player) for player in players]


def _insulation(promise: Insulated, instance: Instance, player: str) -> Measured:
    response = instance.grammar.response
    told = response.ancestors(f"deliver {player}")
    nodes = [node for node in response.nodes if node.name in told]
    leaks = [node.name for node in nodes if _sources(instance, node, promise.taps) & {*promise.sources}]
    detail = f"hears {leaks[0]!r}" if leaks else ""
    return Measured(player, len(leaks), 0.0, leaks[0] if leaks else "", detail)


def _sources(instance: Instance, node: ResponseNode, taps: bool) -> set[str]:
    """Whose nodes of Q this node of R asks; nobody's where it asks nobody, or a tap that is allowed."""
    query = instance.grammar.query
    match node:
        case Seed(loss=port):
            return {query.by_name[port.node].owner}
        case Tap(port=port):
            return set() if taps else _speakers(instance, port)
        case Product(of=of):
            return {query.by_name[of].owner}
        case _:
            return set()


def _speakers(instance: Instance, port: Port) -> set[str]:
    """Whose value this is: its node's owner's, and behind an operator or a loss also its inputs'."""
    node = instance.grammar.query.by_name[port.node]
    above = node.inputs if node.kind in (Kind.OPERATOR, Kind.LOSS) else ()
    return {node.owner}.union(*(_speakers(instance, each) for each in above))


def arrival(promise: Arrives, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """How much of the gradients is left when everybody has learned, and what each could still gain alone."""
    return measure_arrival(promise, instance, tuple(players))


_MEASURES: dict[type, Callable[..., list[Measured]]] = {
    Exact: exactness,
    SignCorrect: sign,
    Descent: descent,
    Estimated: estimate,
    Surrogate: surrogate,
    Learned: optimum,
    Insulated: insulation,
    Arrives: arrival,
}
