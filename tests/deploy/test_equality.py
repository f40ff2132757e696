"""The same assignment gives the same numbers on every executor and transport, bitwise."""

from collections.abc import Callable

import pytest

from antiphon.coordinator.connection import Transport
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.grammars import Grammar
from antiphon.grammars.states import same_states
from rigs.equality import check_same_on_ray
from rigs.games import convolutional, odd_layouts, small_dac, specifications, with_dropout

ROUNDS = 100


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("make", [with_dropout, convolutional, odd_layouts, small_dac])
def test_a_run_is_bitwise_the_same_in_one_process_and_on_ray(make: Callable[[], Grammar], transport, pool) -> None:
    grammar = make()
    check_same_on_ray(grammar, specifications(grammar), ROUNDS, make.__name__, pool, transport=transport)


@pytest.mark.parametrize(("make", "player"), [(with_dropout, "Second"), (odd_layouts, "Odd")])
def test_an_agent_on_another_worker_than_its_operator_gives_the_same_parameters(make, player, pool) -> None:
    grammar = make()
    agents = specifications(grammar)
    with InlineExecutor(assign(grammar, agents)) as inline:
        inline.play(30)
        expected = inline.states()
    apart = spread(grammar, agents={player: "far"})
    with RayExecutor(assign(grammar, agents, placement=apart), "apart", pool=pool) as on_ray:
        on_ray.play(30)
        states = on_ray.states()
    assert {player, f"{player}@agent"} <= states.keys()
    for each in grammar.query.players:
        assert same_states(states[each.name]["parameters"], expected[each.name]["parameters"])


@pytest.mark.parametrize(("make", "staleness"), [(with_dropout, 2), (small_dac, {"act": 1})])
def test_rounds_that_overlap_give_the_same_numbers_on_ray(make, staleness, pool) -> None:
    grammar = make()
    check_same_on_ray(grammar, specifications(grammar), 60, f"stale_{make.__name__}", pool, staleness=staleness)


def test_another_seed_gives_other_numbers(pool) -> None:
    grammar = with_dropout()
    losses = []
    for seed in (0, 1):
        assignment = assign(grammar, specifications(grammar), placement=spread(grammar), seed=seed)
        with RayExecutor(assignment, f"seed{seed}", pool=pool) as on_ray:
            losses.append(on_ray.play(3).losses["Loss"].values)
    assert losses[0] != losses[1]
