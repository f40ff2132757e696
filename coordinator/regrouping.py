"""Whether a regrouping leaves the gradients as they were, measured: both grammars are played, on the same numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from antiphon.coordinator.assignment import assign
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.errors import GrammarError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.oracle import State
from antiphon.grammars.query import PlayerDeclaration
from antiphon.grammars.regrouping.correspondence import Regrouping

States = Mapping[str, State]


def check_regrouping(regrouping: Regrouping, *, rounds: int = 2, seed: int = 0, bound: float = 1e-10) -> float:
    """Play both grammars inline from corresponding parameters, and compare what their players heard in each round.

    Returns the largest difference, relative to the largest number in that player's response. In float64 the bound is
    one of rounding; nobody moves. Raises GrammarError, naming the player, where a difference exceeds `bound`.
    """
    with (
        InlineExecutor(assign(regrouping.origin, RECORDER, seed=seed)) as before,
        InlineExecutor(assign(regrouping.grammar, RECORDER, seed=seed)) as after,
    ):
        after.load(carried(regrouping, before.states(), after.states()), round=0)
        largest = 0.0
        for round in range(rounds):
            before.play(1)
            after.play(1)
            expected = regrouping.carry({name: _flat(each) for name, each in delivered(before).items() if each})
            heard = {name: _flat(each) for name, each in delivered(after).items() if each}
            largest = max(largest, _difference(regrouping, expected, heard, round, bound))
    return largest


def carried(regrouping: Regrouping, states: States, fresh: States) -> dict[str, State]:
    """The states of a run of the regrouped grammar that continue from those of a run of the original one.

    fresh: of the regrouped run, as it began. What is learned is carried over, clones' numbers too, and oracles that
    both have; agents begin anew, since what they remember (a momentum, say) need not decompose, and buffers stay.
    """
    numbers = {name: _vector(player, states[name]) for name, player in _everybody(regrouping.origin).items()}
    found = {name: states.get(name, state) for name, state in fresh.items()}
    players = _everybody(regrouping.grammar)
    for name, vector in regrouping.carry(numbers).items():
        found[name] = _with(players[name], fresh[name], vector)
    return found


def _everybody(grammar: Grammar) -> dict[str, PlayerDeclaration]:
    """Players, and clones as the players that they follow."""
    players = grammar.query.player_by_name
    return {**players, **{clone.name: players[clone.player] for clone in grammar.query.clones}}


def _key(state: State) -> str:
    return "parameters" if "parameters" in state else "tensors"


def _vector(player: PlayerDeclaration, state: State) -> Tensor:
    return _flat([state[_key(state)][parameter.name] for parameter in player.parameters])


def _with(player: PlayerDeclaration, state: State, vector: Tensor) -> State:
    sizes = [torch.Size(parameter.shape).numel() for parameter in player.parameters]
    pieces = zip(player.parameters, vector.split(sizes), strict=True)
    named = {parameter.name: piece.reshape(parameter.shape) for parameter, piece in pieces}
    return {**state, _key(state): {**state[_key(state)], **named}}


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])


def _difference(
    regrouping: Regrouping, expected: Mapping[str, Tensor], heard: Mapping[str, Tensor], round: int, bound: float
) -> float:
    largest = 0.0
    for name in sorted(expected.keys() | heard.keys()):
        if name not in expected or name not in heard:
            silent = regrouping.grammar.name if name in expected else regrouping.origin.name
            raise GrammarError(
                f"player {name!r} heard something in round {round} of one grammar, and nothing in grammar {silent!r}; "
                "expected both to respond in the same rounds. Give both the same passes and cadences."
            )
        difference = (expected[name] - heard[name]).abs().max() / expected[name].abs().max().clamp_min(1e-300)
        largest = max(largest, float(difference))
        if not difference <= bound:
            raise GrammarError(
                f"player {name!r} of regrouped grammar {regrouping.grammar.name!r} heard, in round {round}, what "
                f"differs by {float(difference):.1e} of its largest number; expected at most {bound:g}. "
                "Compare its part of both Response graphs; in float32, allow for its rounding."
            )
    return largest
