"""The example `local_blocks`: who hears what, what is promised is measured, and every contender learns."""

from dataclasses import replace

import pytest
import torch

import antiphon
from antiphon.grammars.library import transformer

SIZES = {"width": 4, "heads": 2, "context": 3, "symbols": 5}
WINDOWS = torch.randint(5, (4, 4), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def grammar(example):
    return example("local_blocks/grammar")


@pytest.fixture
def nature():
    return antiphon.arrays(WINDOWS[:, :-1], WINDOWS[:, 1:], batch=4, shuffle=False)


def test_a_local_response_is_as_deep_for_many_blocks_as_for_two(grammar, nature):
    games = [grammar.judged(nature, blocks, **SIZES) for blocks in (2, 6)]
    two, six = (antiphon.cost(each).response_depth for each in games)
    assert six == two + 4
    assert len({antiphon.cost(grammar.local(each)).response_depth for each in games}) == 1


def test_the_promises_are_kept(grammar, nature):
    several, whole = grammar.judged(nature, 3, **SIZES), transformer(nature, 3, **SIZES)
    for game in several, grammar.local(several), grammar.broadcast(whole):
        report = antiphon.check_grammar(game, instances=1)
        assert not report.failed and "kept" in {row.verdict for row in report.rows}, report.text


def test_a_local_response_is_not_the_gradient_of_all_losses(grammar, nature):
    """The chain rule's promise, made for the local response, is found broken."""
    several = grammar.judged(nature, 2, **SIZES)
    assert antiphon.check_grammar(replace(grammar.local(several), guarantee=antiphon.exact()), instances=1).failed


def test_every_contender_learns(example):
    found = example("local_blocks/train").train(rounds=40, seeds=[0], blocks=2, width=16, heads=2, context=16, batch=8)
    assert len(found) == 5
    assert all(bits < 7.9 for (bits,) in found.values()), found  # a uniform guess takes 8
