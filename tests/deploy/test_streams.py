"""What a process has globally, its random streams and torch's settings: the run's own, on Ray as in one process."""

import torch
from torch import nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.envs import arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
from rigs.streams import IN_A_GRAMMAR, IN_AN_AGENT, STREAMS, drawn, erratic, wanderer

KINDS = ("numpy", "python", "torch")
ROUNDS = 4


def both(pool, run: str, make) -> tuple[list[float], list[float]]:
    """Losses in one process, and on Ray."""
    with InlineExecutor(make()) as inline:
        expected = inline.play(ROUNDS).losses["Loss"].values
    for stream in STREAMS:
        drawn(stream)
    with RayExecutor(make(), run, pool=pool) as on_ray:
        first = on_ray.play(1).losses["Loss"].values
        return expected, first + on_ray.play(ROUNDS - 1).losses["Loss"].values


def test_who_draws_from_a_global_stream_draws_the_same_on_ray(pool) -> None:
    for turn in range(len(KINDS)):  # each place draws from each stream once
        at = {place: KINDS[(turn + index) % 3] for index, place in enumerate(IN_A_GRAMMAR)}
        grammar = erratic(**at)
        agent = wanderer(**{place: KINDS[(turn + index) % 3] for index, place in enumerate(IN_AN_AGENT)})
        placement = spread(grammar, agents={"Second": "Desk"})
        expected, found = both(pool, f"erratic{turn}", lambda: assign(grammar, agent, placement=placement, seed=3))  # noqa: B023
        assert found == expected


def doubled() -> Assignment:
    grammar = backprop(
        arrays(torch.randn(16, 3, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3, batch=4),
        {"A": Factory.of(nn.Linear, 3, 4), "B": Factory.of(nn.Linear, 4, 3)},
    )
    return assign(grammar, placement=spread(grammar))


def test_the_default_dtype_of_the_driver_is_the_workers_too_and_that_of_one_run_alone(pool) -> None:
    before = torch.get_default_dtype()
    single, again = both(pool, "single", doubled)
    torch.set_default_dtype(torch.float64)
    try:
        double, on_ray = both(pool, "double", doubled)
    finally:
        torch.set_default_dtype(before)
    assert again == single != double == on_ray
    assert both(pool, "single-again", doubled) == (single, single)
