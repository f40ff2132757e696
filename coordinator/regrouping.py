"""Checks that a regrouping of a grammar into other players keeps the gradients. Plays and compares both grammars."""

from collections.abc import Mapping

import torch
from torch import Tensor

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.coordinator.values import flat
from antiphon.errors import GrammarError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.oracle import State
from antiphon.grammars.query import PlayerDeclaration
from antiphon.grammars.regrouping.correspondence import Regrouping
from antiphon.grammars.typed import typed

States = Mapping[str, State]

CANCELLED = 1e-3
"""Smallest scale of a relative difference, as a fraction of the largest gradient element that any player received."""


@typed
def check_regrouping(regrouping: Regrouping, *, rounds: int = 2, seed: int = 0, bound: float = 1e-10) -> float:
    """Play a grammar and its regrouped form from equal parameters, and compare the gradients that the players receive.

    rounds: number of rounds to play; no player moves. seed: seed of both runs. bound: largest relative difference that
    is accepted.
    Returns the largest relative difference. A difference is relative to the largest number that the corresponding
    players of the original grammar received, or to a thousandth of the largest number that any player received, if that
    is larger. In float64 only rounding differs.
    Raises GrammarError, with the player's name, if a difference exceeds `bound`, if a player gets a response in only
    one of the grammars, or if no player received a response.
    """
    largest, any_received = 0.0, False
    with (
        InlineExecutor(assign(regrouping.origin, RECORDER, seed=seed)) as before,
        InlineExecutor(assign(regrouping.grammar, RECORDER, seed=seed)) as after,
    ):
        after.load(carried(regrouping, before.states(), after.states()), round=0)
        for round in range(rounds):
            before.play(1)
            after.play(1)
            original, received = _received(before), _received(after)
            any_received |= bool(received)
            for name in sorted(regrouping.carry(original).keys() | received.keys()):
                largest = max(largest, _difference(regrouping, name, original, received, round, bound))
    if not any_received:
        raise GrammarError(
            f"no player of grammar {regrouping.grammar.name!r} received a response within {rounds} rounds; expected "
            "responses to compare. Play more rounds, or let learning start earlier."
        )
    return largest


@typed
def carried(regrouping: Regrouping, states: States, fresh: States) -> dict[str, State]:
    """Return states with which a run of the regrouped grammar continues a run of the original grammar.

    states: states of the original run. fresh: states of the regrouped run at its start. Parameters of players and
    clones are carried over, and also the states of oracles that both grammars have. Agents and buffers keep their fresh
    states, because the state of an agent (momentum, for example) may not decompose.
    """
    numbers = {name: _vector(player, states[name]) for name, player in _everybody(regrouping.origin).items()}
    found = {name: states.get(name, state) for name, state in fresh.items()}
    players = _everybody(regrouping.grammar)
    for name, vector in regrouping.carry(numbers).items():
        found[name] = _with(players[name], fresh[name], vector)
    return found


def _everybody(grammar: Grammar) -> dict[str, PlayerDeclaration]:
    """Return the declarations of all players, by name, and by the name of each clone the declaration of its player."""
    players = grammar.query.player_by_name
    return {**players, **{clone.name: players[clone.player] for clone in grammar.query.clones}}


def _vector(player: PlayerDeclaration, state: State) -> Tensor:
    return flat(tuple(state["parameters"][parameter.name] for parameter in player.parameters))


def _with(player: PlayerDeclaration, state: State, vector: Tensor) -> State:
    sizes = [torch.Size(parameter.shape).numel() for parameter in player.parameters]
    pieces = zip(player.parameters, vector.split(sizes), strict=True)
    named = {parameter.name: piece.reshape(parameter.shape) for parameter, piece in pieces}
    return {**state, "parameters": {**state["parameters"], **named}}


def _received(executor: InlineExecutor) -> dict[str, Tensor]:
    return {name: flat(tuple(each)) for name, each in delivered(executor).items() if each}


def _difference(
    regrouping: Regrouping,
    name: str,
    original: Mapping[str, Tensor],
    received: Mapping[str, Tensor],
    round: int,
    bound: float,
) -> float:
    expected = regrouping.carry(original)
    if name not in expected or name not in received:
        raise GrammarError(
            f"player {name!r} of regrouped grammar {regrouping.grammar.name!r} received "
            f"{'a' if name in received else 'no'} response by round {round}, unlike the original players whose "
            "numbers it plays; expected both to respond. Give both the same passes, cadences and deliveries."
        )
    # If gradients cancel, the remainder is rounding of the larger numbers that other players received.
    own = max(float(original[span.player].abs().max()) for span in dict(regrouping.spans)[name])
    scale = max(own, CANCELLED * max(float(each.abs().max()) for each in original.values()))
    difference = float((expected[name] - received[name]).abs().max()) / max(scale, 1e-300)
    if not difference <= bound:
        raise GrammarError(
            f"player {name!r} of regrouped grammar {regrouping.grammar.name!r} received in round {round} a response "
            f"that differs by {difference:.1e} of the largest number in the original one; expected at most {bound:g}. "
            "Compare its part of both Response graphs; in float32, allow for its rounding."
        )
    return difference
