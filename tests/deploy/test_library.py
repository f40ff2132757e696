"""Every grammar of the library gives the same numbers in one process and on Ray, bitwise."""

import functools
from collections.abc import Mapping

import pytest
import torch

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.experiments.load import read_experiment
from antiphon.grammars import Grammar
from antiphon.pictures.gallery import library
from antiphon.recipes import LIBRARY, recipe_of

ROUNDS = 12
SOON = {"envs": 2, "batch": 8, "warmup": 4, "learn_from": 3, "act_every": 1, "widths": [9, 7]}
"""What lets those who act and remember learn within a few rounds."""


@functools.cache
def grammars() -> Mapping[str, Grammar]:
    """The whole library; those who wait for a memory to fill learn within a few rounds."""
    soon = {}
    for name in LIBRARY:
        recipe = recipe_of(name)
        if recipe and "learn_from" in recipe.table.model_fields:
            soon[name] = read_experiment(name, {f"{recipe.key}.{key}": value for key, value in SOON.items()}).build()
    return {**library(), **soon}


@pytest.mark.slow
@pytest.mark.parametrize("share", range(4))
def test_a_run_is_bitwise_the_same_in_one_process_and_on_ray(share, pool):
    assert {*LIBRARY} <= grammars().keys()
    for name in sorted(grammars())[share::4]:
        grammar, agent = grammars()[name], AgentSpecification.of("SGD", {"lr": 1e-3, "momentum": 0.5})
        with InlineExecutor(assign(grammar, agent, seed=5)) as inline:
            alone, expected = inline.play(ROUNDS), inline.states()
        apart = assign(grammar, agent, placement=spread(grammar), seed=5)
        with RayExecutor(apart, f"library-{name}", pool=pool) as on_ray:
            played, states = on_ray.play(ROUNDS), on_ray.states()
        assert played.losses == alone.losses, name
        assert any(losses.values for losses in played.losses.values()), name
        for player in (each.name for each in grammar.query.players):
            assert expected[player]["moves"] > 0, (name, player)
            for parameter, value in expected[player]["parameters"].items():
                assert torch.equal(states[player]["parameters"][parameter], value), (name, player)
