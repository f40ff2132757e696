"""Second-order grammars in actors of their own: equal numbers, and a cost report that agrees with what was sent."""

import pytest

from antiphon.checks.suites import adjusted_game, maml, wgan_gp
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.grammars.states import same_states

MAKERS = {"wgan-gp": wgan_gp.dense, "adjusted-gan": adjusted_game.networks, "maml": maml.network}


@pytest.mark.parametrize("name", MAKERS)
def test_players_in_actors_of_their_own_play_the_same_numbers(name, pool):
    grammar = MAKERS[name](1)
    with InlineExecutor(assign(grammar, seed=2)) as inline:
        expected, states = inline.play(3), inline.states()
    with RayExecutor(assign(grammar, placement=spread(grammar), seed=2), f"second-{name}", pool=pool) as ray:
        played, found = ray.play(3), ray.states()
    assert played.losses == expected.losses
    assert all(same_states(found[each], state) for each, state in states.items())
