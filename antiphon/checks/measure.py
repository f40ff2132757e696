"""Measure whether a grammar keeps one of its promises: one result for each player of the promise."""

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from antiphon.checks.alone import stateful_map
from antiphon.checks.arrival import measure_alignment, measure_arrival
from antiphon.checks.instance import Instance
from antiphon.checks.insulated import insulation, refuse_strange_sources
from antiphon.checks.locate import locate
from antiphon.checks.measured import DIVERGED, IDLE, NOT_FINITE, Measured, beyond, by_player, worst
from antiphon.checks.places import LATE, START
from antiphon.checks.recorded import RecordedRound, flat_gradient
from antiphon.checks.rounding import resolved, terms
from antiphon.checks.signs import angle, measure_signs, nothing
from antiphon.grammars import (
    UNKNOWN,
    Aligns,
    Arrives,
    Descent,
    Estimated,
    Exact,
    Factory,
    Insulated,
    Learned,
    Loss,
    Promise,
    SignCorrect,
    Surrogate,
)
from antiphon.grammars.inference import make_operator

UNCERTAIN = 5.0
"""Largest deviation of a mean over random draws, in standard errors. A normal mean exceeds it once in two million."""

ROUNDING = 1e-9
"""Relative rounding error that is allowed in a mean of float64 numbers."""

_NOT_KNOWN = "the truth is not known for these modules"


def measure(promise: Promise, instance: Instance) -> list[Measured]:
    """Measure whether a grammar keeps a promise, and return one result per player.

    Raises AntiphonError if the grammar of `instance` cannot be run, or if the promise names a player or source that the
    grammar does not have.
    """
    players = promise.players or instance.players
    if isinstance(promise, Insulated):
        refuse_strange_sources(instance, promise)
    if getattr(promise, "loss", None) == UNKNOWN:
        return [Measured(player, 0.0, 0.0, skipped=_NOT_KNOWN) for player in players]
    found = instance.measured(promise, lambda promised: _measured(promised, instance, players))
    if isinstance(promise, Exact | SignCorrect | Descent) and (declared := instance.as_declared):
        again = declared.measured(promise, lambda promised: _measured(promised, declared, players))
        return [two if one.kept and not two.kept else one for one, two in zip(found, again, strict=True)]
    return found


def _measured(promise: Promise, instance: Instance, players: tuple[str, ...]) -> list[Measured]:
    measured: Callable[[Any, Instance, tuple[str, ...]], list[Measured]] = _MEASURES[type(promise)]
    found: list[Measured] = []
    for own, each in _own(promise, instance, players):
        found += [_with_evidence(own, instance, result) for result in measured(own, instance, each)]
    return found


def _own(promise: Promise, instance: Instance, players: tuple[str, ...]) -> Iterable[tuple[Promise, tuple[str, ...]]]:
    """Yield the promise with the loss of its players, and these players; once for all players with the same loss.

    A promise without a loss is about each player's own terms of the objective.
    """
    if not isinstance(promise, Exact | SignCorrect | Descent | Estimated) or promise.loss is not None:
        return [(promise, players)]
    losses: dict[Loss, list[str]] = {}
    for player in players:
        losses.setdefault(instance.grammar.objective.of(player), []).append(player)
    return [(replace(promise, loss=loss), tuple(each)) for loss, each in losses.items()]


def _with_evidence(promise: Promise, instance: Instance, found: Measured) -> Measured:
    """Return the result `found` with remarks, or a failure if a backward function that a user wrote is wrong.

    In that case the reference gradient is wrong too, so `found` means nothing.
    """
    if not isinstance(promise, Exact | SignCorrect | Descent | Estimated) or not found.kept or instance.rounding:
        return found  # differences need all digits of float64
    differences = instance.places.differences
    if wrong := differences.wrong(found.player, promise.loss):
        operator, error, how = wrong
        value = error if isinstance(promise, Exact) else math.inf
        return Measured(found.player, value, found.bound, operator, how)
    if found.skipped:
        return found
    notes = [f"not measured {place}: {why}" for place, why in instance.places.notes.items()]
    notes += differences.notes(found.player, promise.loss)
    return replace(found, detail="; ".join(filter(None, (found.detail, *notes))))


def _in_all_places(
    measured: Callable[[Any, RecordedRound, str], Measured],  # Any: the promise that it measures
    promise: Exact | SignCorrect | Descent,
    instance: Instance,
    players: Iterable[str],
) -> list[Measured]:
    """Measure a promise at the initial, at perturbed and at learned parameters, and return each player's worst result.

    Rounds in which the promise cannot be measured for a player are skipped.
    """
    found: list[Measured] = []
    waiting = list(players)
    for place, rounds in instance.places:
        here = [
            _said_of(place, measured(promise, round, player))
            for round in rounds
            if _premise_holds(promise, place, round)
            for player in waiting
            if _is_about(promise, round, player)
        ]
        broken = {each.player for each in here if not each.kept}
        waiting = [player for player in waiting if player not in broken]
        found += here
        if not waiting:
            break
    return _of_all(found, players)


def _is_about(promise: Exact | SignCorrect | Descent, round: RecordedRound, player: str) -> bool:
    """Return whether a promise to a player can be measured in a round.

    It can if the player's loss is computed and the player receives a response. For an `Exact` promise one of the two is
    enough: a missing response counts as zeros, and if no input of the loss is computed, its gradient is zero.
    """
    if isinstance(promise, Exact):
        return round.composed.plays(promise.loss) or (player in round.responses and _is_known(round, promise.loss))
    return player in round.responses and round.composed.plays(promise.loss)


def _is_known(round: RecordedRound, loss: Loss | None) -> bool:
    """Return whether the gradient of a loss is known: all inputs of the loss are computed in the round, or none."""
    return round.composed.plays(loss) or not round.composed.begins(loss)


def _of_all(found: Iterable[Measured], players: Iterable[str]) -> list[Measured]:
    """Return the worst of the results of each player; for a player without a result: "not measured"."""
    known = {each[0].player: worst(each) for each in by_player(found)}
    why = "no round was played in which the player receives a response, its loss is played and its premise holds"
    return [known.get(player, Measured(player, 0.0, 0.0, skipped=why)) for player in players]


def _premise_holds(promise: Promise, place: str, round: RecordedRound) -> bool:
    """Return whether the premise of a promise holds in a recorded round.

    place: says with which parameters the round was played. If these are the initial ones, the premise holds. Else the
    promise's function `holds` decides. A premise without such a function counts as not holding.
    """
    holds = getattr(promise, "holds", None)
    if place == START or holds is None:
        return place == START or not getattr(promise, "premise", "")
    return bool(_asked(holds, round))


def _said_of(place: str, measured: Measured) -> Measured:
    """Return the result. For a promise that is broken with other than the initial parameters, add `place` to it."""
    if measured.kept or place == START:
        return measured
    return replace(measured, detail=f"{measured.detail}, {place}" if measured.detail else place)


def _exact(promise: Exact, round: RecordedRound, player: str) -> Measured:
    """Measure the largest difference between a player's response and its gradient, relative to the gradient's size.

    The size is the largest number of the gradient, if the promise is then kept. Otherwise it is the estimated size of
    the terms that add up to the gradient (`rounding.terms`), which is larger if terms cancel each other.
    """
    if not round.composed.plays(promise.loss):
        return _resting(promise.tolerance, round, player)
    gradient = flat_gradient(round.composed, player, promise.loss)
    if not bool(gradient.isfinite().all()):
        return Measured(player, 0.0, promise.tolerance, skipped=NOT_FINITE)
    told = round.responses.get(player, torch.zeros_like(gradient))
    difference, largest = float((told - gradient).abs().max()), float(gradient.abs().max())
    if difference == largest == 0:
        return Measured(player, 0.0, promise.tolerance, skipped=IDLE)
    near = difference <= promise.tolerance * largest
    size = largest if near else terms(round, player, promise.loss, gradient)
    if difference <= promise.tolerance * size:
        why = _no_evidence(round, player, promise, largest, size)
        return Measured(player, difference / size, promise.tolerance, skipped=why)
    error = difference / size if size > 0 else math.inf
    if player not in round.responses:
        detail = f"no response in round {round.number}, where a gradient is expected"
        return Measured(player, error, promise.tolerance, f"deliver {player}", detail)
    operator, detail = locate(round, player, promise.loss)
    return Measured(player, error, promise.tolerance, operator, detail)


def _resting(bound: float, round: RecordedRound, player: str) -> Measured:
    """Measure a round in which no input of the player's loss is computed: the player's response must be zero."""
    if not round.responses[player].any():
        return Measured(player, 0.0, bound, skipped=IDLE)
    detail = f"the response in round {round.number} is not zero, but nothing of the player's loss is played there"
    return Measured(player, math.inf, bound, f"deliver {player}", detail)


def _no_evidence(round: RecordedRound, player: str, promise: Exact, largest: float, size: float) -> str:
    """Return why a right response does not prove that the Response graph is right; "" if it proves it.

    largest: the gradient's largest number. size: estimated size of the terms that add up to the gradient.
    """
    if largest <= promise.tolerance * size:
        return f"its gradient cancels to {largest:.1g} of terms of {size:.1g}: a response of zero would pass too"
    if not resolved(round, player, promise.loss, size):
        return f"its gradient is at most {size:.1g}, which is too small to change the loss in float64"
    return ""


def _descent(promise: Descent, round: RecordedRound, player: str) -> Measured:
    """Measure the angle between a player's response and its gradient, in degrees; 180 if only the response is zero."""
    gradient, told = flat_gradient(round.composed, player, promise.loss), round.responses[player]
    if not bool(gradient.isfinite().all()):
        return Measured(player, 0.0, promise.degrees, skipped=NOT_FINITE)
    size = terms(round, player, promise.loss, gradient)
    if not gradient.any() or float(gradient.abs().max()) <= nothing(gradient) * size:
        return Measured(player, 0.0, promise.degrees, skipped="there is no gradient here to hold an angle to")
    degrees = angle(told, gradient) if float(told.norm()) > 0 else 180.0
    if degrees < promise.degrees:
        every = "every direction keeps it" if promise.degrees > 180 else ""
        return Measured(player, degrees, promise.degrees, skipped=every)
    operator, detail = locate(round, player, promise.loss)
    return Measured(player, max(degrees, promise.degrees + 1e-9), promise.degrees, operator, detail)


def estimate(promise: Estimated, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """Measure the bias of each player's mean response over random draws, compared with the mean gradient.

    The value is the norm of the difference minus its statistical uncertainty, divided by the norm of the mean gradient.
    """
    found = [
        _said_of(place, _estimate(promise, rounds, player))
        for place, rounds in _drawn(promise, instance)
        for player in players
        if len(rounds) > 1 and player in rounds[0].responses and _is_known(rounds[0], promise.loss)
    ]
    return _of_all([*found, *_remembered(promise, instance, players)], players)


def _remembered(promise: Estimated, instance: Instance, players: Iterable[str]) -> Iterable[Measured]:
    """Yield a failure for each player whose response depends on a `Map` node that keeps a state between rounds."""
    for round in instance.places.late:
        for player in players:
            if player in round.responses and (name := stateful_map(round, player)):
                detail = f"called again with the same messages, {name!r} returns something else, {LATE}"
                yield Measured(player, math.inf, promise.bias, name, detail)


def _drawn(promise: Estimated | Surrogate, instance: Instance) -> Iterable[tuple[str, list[RecordedRound]]]:
    """Return (place, rounds that send the same messages) for all places where the promise's premise holds.

    A place is a choice of parameters: initial, perturbed or learned.
    """
    if getattr(promise, "premise", "") and getattr(promise, "holds", None) is None:
        places = ((START, rounds) for rounds in instance.places.drawn(promise.draws))
    else:
        places = instance.places.draws(promise.draws)
    return [(place, rounds) for place, rounds in places if _premise_holds(promise, place, rounds[0])]


def _estimate(promise: Estimated, rounds: list[RecordedRound], player: str) -> Measured:
    told = torch.stack([round.responses[player] for round in rounds])
    if not rounds[0].composed.plays(promise.loss):
        return _resting(promise.bias, rounds[0], player)
    gradients = torch.stack([flat_gradient(round.composed, player, promise.loss) for round in rounds])
    truth, error = gradients.mean(0), told - gradients
    scale = max(float(truth.norm()), 1e-300)
    uncertain = UNCERTAIN * float(error.var(0).sum().div(len(rounds)).sqrt())
    off = float(error.mean(0).norm())
    if off == 0 and not gradients.any():
        return Measured(player, 0.0, promise.bias, skipped=IDLE)
    bias, deviation = beyond(off, uncertain) / scale, float(told.var(0).sum().sqrt()) / scale
    detail = f"bias {off / scale:.2g} ± {uncertain / scale:.2g}, deviation {deviation:.2g} of the gradient"
    if bias <= promise.bias and 1 - uncertain / scale <= promise.bias:
        why = f"{len(rounds)} draws are too few" if promise.bias < 1 else f"a bias of {promise.bias:g} is allowed"
        return Measured(player, bias, promise.bias, skipped=f"{why}: a response of zero would pass too ({detail})")
    if bias <= promise.bias:
        return Measured(player, bias, promise.bias, detail=detail)
    operator, where = locate(rounds[0], player, promise.loss)
    return Measured(player, bias, promise.bias, operator, f"{detail}; {where}" if where else detail)


def surrogate(promise: Surrogate, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """Measure by how much the mean objective is smaller than the quantity of which it should be an upper bound."""
    truth = promise.truth
    if truth is None:
        return [Measured("all", 0.0, 0.0, skipped=_NOT_KNOWN)]
    found = [
        _said_of(place, _bound(truth, rounds))
        for place, rounds in _drawn(promise, instance)
        if rounds[0].whole and (len(rounds) > 1 or promise.draws == 1)
    ]
    return _of_all(found, ["all"])


def _bound(truth: Factory, rounds: list[RecordedRound]) -> Measured:
    pairs = [(float(each.composed.loss().detach()), float(_asked(truth, each))) for each in rounds]
    bound, meant = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    gap = bound - meant
    uncertain = UNCERTAIN * float(gap.std() / len(pairs) ** 0.5) if len(pairs) > 1 else 0.0
    size = max(1.0, float(meant.abs().max()))
    slack = ROUNDING * size
    detail = f"gap {float(gap.mean()):.4g} ± {uncertain:.2g} above {float(meant.mean()):.4g}"
    losses = ", ".join(port.node for port in rounds[0].composed.grammar.objective.losses)
    few = f"{len(pairs)} draws are too few to tell it from what it is to bound ({detail})"
    lost = -uncertain <= float(gap.mean()) < -slack or float(gap.mean()) < uncertain > size
    return Measured("all", beyond(-float(gap.mean()), uncertain), slack, losses, detail, few if lost else "")


def optimum(promise: Learned, instance: Instance, players: tuple[str, ...]) -> list[Measured]:
    """Let the players of a promise learn, with all others fixed, and measure their distance from the known optimum."""
    if promise.distance is None:
        return [Measured(", ".join(players), 0.0, 0.0, skipped=_NOT_KNOWN)]
    states = instance.places.learned_by(frozenset(players))
    if diverged := instance.places.diverged(states):
        return [Measured(", ".join(players), math.nan, promise.tolerance, diverged, DIVERGED)]
    (round,) = instance.places.rounds_after(states)
    (before,) = instance.places.rounds()
    distance, began = (float(_asked(promise.distance, each).abs()) for each in (round, before))
    detail = f"{began:.3g} before {instance.learning.rounds} rounds"
    there = "the players were at the optimum before they learned" if began <= promise.tolerance >= distance else ""
    return [Measured(", ".join(players), distance, promise.tolerance, players[0], detail, there)]


def _asked(function: Any, round: RecordedRound) -> Tensor:  # Any: a Factory
    composed = round.composed
    with torch.no_grad():
        return make_operator(function)(composed.modules, composed.values)


_MEASURES: dict[type, Callable[..., list[Measured]]] = {
    Exact: functools.partial(_in_all_places, _exact),
    SignCorrect: functools.partial(_in_all_places, measure_signs),
    Descent: functools.partial(_in_all_places, _descent),
    Estimated: estimate,
    Surrogate: surrogate,
    Learned: optimum,
    Insulated: insulation,
    Arrives: measure_arrival,
    Aligns: measure_alignment,
}
