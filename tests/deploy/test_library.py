"""Every grammar of the library gives the same numbers in one process and on Ray, bitwise."""

import functools
from collections.abc import Mapping

import pytest

from antiphon.agents import AgentSpecification
from antiphon.experiments.load import read_experiment
from antiphon.grammars import Grammar
from antiphon.pictures.gallery import library
from antiphon.recipes import LIBRARY, recipe_of
from rigs.equality import check_same_on_ray

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
            small = {f"{recipe.key}.{key}": value for key, value in SOON.items()}
            for each, changes in {name: {}, **recipe.variants}.items():
                soon[each] = read_experiment(name, {**changes, **small}).build()
    return {**library(), **soon}


@pytest.mark.slow
@pytest.mark.parametrize("share", range(4))
def test_a_run_is_bitwise_the_same_in_one_process_and_on_ray(share, pool):
    assert {*LIBRARY} <= grammars().keys()
    for name in sorted(grammars())[share::4]:
        grammar, agent = grammars()[name], AgentSpecification.of("SGD", {"lr": 1e-3, "momentum": 0.5})
        states = check_same_on_ray(grammar, agent, ROUNDS, f"library-{name}", pool)
        assert all(states[player.name]["moves"] > 0 for player in grammar.query.players), name


@pytest.mark.slow
@pytest.mark.parametrize("order", ["1f1b", "zero-bubble"])
def test_micro_batches_change_no_bit_on_ray(order, pool):
    agent = AgentSpecification.of("SGD", {"lr": 1e-3, "momentum": 0.5})
    for name in ("backprop", "kickback", "recurrent-truncated", "reinforce", "transformer", "vae"):
        check_same_on_ray(library()[name], agent, ROUNDS, f"{order}-{name}", pool, order=order, microbatches=3)
