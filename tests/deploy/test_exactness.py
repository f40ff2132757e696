"""The law of the whole, on Ray: what travels between processes and is delivered is the gradient of the objective."""

from random import Random

import pytest
import torch

from antiphon.coordinator.connection import Transport
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import hosted, spread
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.deploy.executor import RayExecutor
from antiphon.grammars.random_edits import with_random_edits
from antiphon.grammars.random_grammars import sample_grammar
from antiphon.grammars.reference import reference_gradients

GRAPHS = 200
SHARES = 10
QUICK = 2  # shares that always run; in one process, `tests/coordinator/test_exactness.py` plays many more graphs
WORKERS = 9  # at most; where a graph has more players and oracles, the last of them share a worker


def check(seed: int, transport: Transport, pool) -> None:
    grammar = sample_grammar(seed)
    placement = spread(grammar, fuse=[hosted(grammar)[WORKERS - 1 :]])
    assignment = assign(grammar, RECORDER, placement=placement, seed=seed)
    with RayExecutor(assignment, f"exact-{transport}-{seed}", transport=transport, pool=pool) as executor:
        states = executor.states()
        executor.play(2)
        found, expected = delivered(executor), reference_gradients(grammar, states, seed, 1)
    assert found.keys() == expected.keys()
    for player, gradients in expected.items():
        for one, two in zip(found[player], gradients, strict=True):
            assert (one - two).abs().max() <= 1e-10 * two.abs().max(), (seed, player)


@pytest.mark.parametrize(
    "share", [*range(QUICK), *(pytest.param(share, marks=pytest.mark.slow) for share in range(QUICK, SHARES))]
)
def test_every_delivered_gradient_is_exact(share: int, pool) -> None:
    for seed in range(share, GRAPHS, SHARES):
        check(seed, Transport.PROCESS_GROUP, pool)


def test_edited_responses_are_those_of_one_process(pool) -> None:
    for seed in range(3):
        grammar = with_random_edits(sample_grammar(seed), Random(seed).randrange)
        placement = spread(grammar, fuse=[hosted(grammar)[WORKERS - 1 :]])
        assignment = assign(grammar, RECORDER, placement=placement, seed=seed)
        with RayExecutor(assignment, f"edited-{seed}", pool=pool) as executor, InlineExecutor(assignment) as alone:
            executor.play(2)
            alone.play(2)
            found, expected = delivered(executor), delivered(alone)
        assert found.keys() == expected.keys()
        assert all(all(map(torch.equal, found[player], expected[player])) for player in expected)


def test_and_through_the_object_store(pool) -> None:
    for seed in range(GRAPHS, GRAPHS + 5):
        check(seed, Transport.OBJECT_STORE, pool)
