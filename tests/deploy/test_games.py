"""Games with the agents that they are made for: equal numbers and equal reports in one process and on Ray."""

import pytest

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.experiments.load import read_experiment
from antiphon.grammars.states import same_states

GAMES = {
    "finite-game": {"finite_game.game": "jordan"},
    "finite-game, optimistic": {"agent.agent": "hedge", "agent.arguments": {"optimistic": True, "lr": 0.2}},
    "convex-game": {},
    "convex-game, Adam": {"agent.agent": "optimistic", "agent.arguments": {"base": "Adam", "lr": 0.1}},
    "online-game": {"online_game.losses": "leader"},
    "gated-game": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
def test_players_in_actors_of_their_own_play_and_report_the_same_numbers(name, pool):
    experiment = read_experiment(name.partition(",")[0], GAMES[name])
    grammar = experiment.build()
    agents = experiment.agents(grammar)
    with InlineExecutor(assign(grammar, agents, seed=2)) as inline:
        expected, states = inline.play(31), inline.states()
    with RayExecutor(
        assign(grammar, agents, placement=spread(grammar), seed=2), f"games-{name[:12]}", pool=pool
    ) as ray:
        played, found = ray.play(31), ray.states()
    assert played.losses == expected.losses
    assert played.reports == expected.reports and expected.reports
    assert all(same_states(found[each], state) for each, state in states.items())
