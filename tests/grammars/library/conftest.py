"""Playing a grammar inline until it is learned, and what is delivered in a round."""

from collections.abc import Callable, Mapping

import pytest
from torch import Tensor

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.reference import Composed, compose, reference_gradients

Parameters = dict[str, dict[str, Tensor]]


@pytest.fixture
def learned() -> Callable[..., Parameters]:
    """Every player's parameters after so many rounds, by name. agents: one for all, or by player."""

    def play(
        grammar: Grammar, agents: AgentSpecification | Mapping[str, AgentSpecification], rounds: int, seed: int = 0
    ) -> Parameters:
        with InlineExecutor(assign(grammar, agents, seed=seed)) as executor:
            executor.play(rounds)
            states = executor.states()
        return {player.name: states[player.name]["parameters"] for player in grammar.query.players}

    return play


@pytest.fixture
def told() -> Callable[[Grammar], tuple[dict[str, list[Tensor]], dict[str, list[Tensor]], Parameters]]:
    """What each player was told in the first round; what automatic differentiation of the objective says; at which
    parameters."""

    def play(grammar: Grammar) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]], Parameters]:
        with InlineExecutor(assign(grammar, RECORDER, seed=0)) as executor:
            states = executor.states()
            executor.play(1)
            found = delivered(executor)
        parameters = {player.name: states[player.name]["parameters"] for player in grammar.query.players}
        return found, reference_gradients(grammar, states), parameters

    return play


@pytest.fixture
def first_round() -> Callable[..., tuple[dict[str, list[Tensor]], Composed]]:
    """What each player was told in the first round, and the values and modules of that round for torch."""

    def play(grammar: Grammar, seed: int = 0) -> tuple[dict[str, list[Tensor]], Composed]:
        with InlineExecutor(assign(grammar, RECORDER, seed=seed)) as executor:
            states = executor.states()
            executor.play(1)
            return delivered(executor), compose(grammar, states, seed)

    return play
