"""Black and gray, in one process and on Ray: equal numbers, equal counts."""

from functools import partial

import pytest
import torch

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.grammars import Batch, EdgeType, Factory
from antiphon.grammars.library import black_box_descent, gray_box_descent
from antiphon.grammars.library.point import Point
from antiphon.oracles import Annealing, black_box, coordinates, gray_box, rademacher

PLAYER = Factory.of(Point, 5)


VALUE = partial(torch.logsumexp, dim=-1)  # smooth, and importable by any worker


def black(noise):
    points, values = EdgeType((Batch(), 5)), EdgeType((Batch(),))
    return black_box_descent(black_box(VALUE, [points], [values], sizes=dict(noise.sizes)), noise, PLAYER)


GAMES = {
    "signs": lambda: black(rademacher((5,), batch=1, scale=Annealing(0.5, 0.1, 50))),
    "axes": lambda: black(coordinates(5, scale=0.1)),
    "gray": lambda: gray_box_descent(gray_box(VALUE, [EdgeType((5,))], [EdgeType(())]), PLAYER),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
def test_both_executors_play_the_same_numbers_and_count_the_same_queries(name, pool):
    grammar, agent = GAMES[name](), AgentSpecification.of("SGD", {"lr": 0.02, "momentum": 0.5})
    with InlineExecutor(assign(grammar, agent, seed=3)) as inline:
        expected, states = inline.play(100), inline.states()
    placement = spread(grammar)
    with RayExecutor(assign(grammar, agent, placement=placement, seed=3), f"descent-{name}", pool=pool) as on_ray:
        played, found = on_ray.play(100), on_ray.states()
    assert played.losses == expected.losses
    assert played.reports == expected.reports
    assert torch.equal(found["Player"]["parameters"]["theta"], states["Player"]["parameters"]["theta"])
