"""Test that a grammar gives the same numbers in one process and on Ray, bit for bit."""

from collections.abc import Mapping
from typing import Any

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.staleness import Staleness
from antiphon.coordinator.plan.step_order import OrderName
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.pool import Pool
from antiphon.grammars import Grammar, State
from antiphon.grammars.states import same_states


def check_same_on_ray(
    grammar: Grammar,
    agents: AgentSpecification | Mapping[str, AgentSpecification],
    rounds: int,
    name: str,
    pool: Pool | None,
    order: OrderName | None = None,
    microbatches: int = 1,
    staleness: Staleness = 0,
    **how: Any,  # Any: further arguments of the executor
) -> Mapping[str, State]:
    """Play a grammar in one process, and on Ray with one worker for each player, oracle and loss. Compare the numbers.

    pool: None for actors of the run's own. order: the order of steps on Ray. microbatches, staleness: in both
    runs. Returns the states of the run on Ray.
    Raises AssertionError if losses or states of the two runs differ in any bit.
    """
    both: dict[str, Any] = {"seed": 5, "microbatches": microbatches, "staleness": staleness}  # Any: of several types
    with InlineExecutor(assign(grammar, agents, **both)) as inline:
        alone, expected = inline.play(rounds), inline.states()
    apart = assign(grammar, agents, placement=spread(grammar), order=order, **both)
    with RayExecutor(apart, name, pool=pool, **how) as on_ray:
        played, states = on_ray.play(rounds), on_ray.states()
    assert played.losses == alone.losses and any(losses.values for losses in played.losses.values()), name
    assert states.keys() == expected.keys()
    for each, state in expected.items():
        assert same_states(states[each], state), f"{name}: the state of {each} differs"
    return states
