"""Remark 2, implicit temporal differences: the semi-gradient at where it leads, stable at any step."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from antiphon.agents import AgentSpecification
from antiphon.envs.markov import markov
from antiphon.envs.markov_examples import random_walk
from antiphon.envs.markov_process import MarkovProcess
from antiphon.envs.markov_solutions import state_values
from antiphon.errors import GrammarError
from antiphon.grammars.bellman import implicit
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import implicit_temporal_difference, semi_gradient

F64 = torch.float64
GAMMA = 0.9
WALK = random_walk(5, F64)


def critic(bias: bool) -> Factory:
    return Factory.of(nn.Linear, 5, 1, bias=bias, dtype=F64)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("step", [0.1, 30.0])
def test_what_is_told_is_the_gradient_at_where_it_leads(bias, step, told):
    game = implicit_temporal_difference(markov(WALK), critic(bias), step=step, gamma=GAMMA)
    found, _, parameters = told(game)
    (nature,) = game.query.oracles
    state, _, reward, after, terminated, weight = nature.declaration.make(0).answer("sample", (), 0)
    here, there = nn.Linear(5, 1, bias=bias, dtype=F64), nn.Linear(5, 1, bias=bias, dtype=F64)
    here.load_state_dict(parameters["Critic"])
    there.load_state_dict(parameters["Critic"])
    with torch.no_grad():
        for parameter, gradient in zip(there.parameters(), found["Critic"], strict=True):
            parameter -= step * gradient
        target = reward + GAMMA * (1 - terminated) * here(after)[:, 0]  # held where it was
    loss = (weight / len(weight) * (target - there(state)[:, 0]).square()).sum()
    for one, two in zip(found["Critic"], torch.autograd.grad(loss, tuple(there.parameters())), strict=True):
        assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_of_one_transition_it_is_the_semi_gradient_divided():
    features, message = torch.tensor([[1.0, 2.0]], dtype=F64), torch.tensor([[3.0]], dtype=F64)
    assert_close(implicit(message, features, step=0.5, bias=False), message / (1 + 2 * 0.5 * 5))


def test_it_is_stable_where_temporal_differences_diverge(learned):
    step = 30.0
    agent = AgentSpecification.of("SGD", {"lr": step})
    explicit = learned(semi_gradient(markov(WALK), critic(False), gamma=GAMMA), agent, 60)["Critic"]["weight"]
    assert explicit.norm() > 1e30
    game = implicit_temporal_difference(markov(WALK), critic(False), step=step, gamma=GAMMA)
    found = learned(game, agent, 400)["Critic"]["weight"][0]
    values: Tensor = state_values(WALK, WALK.uniform_policy, GAMMA)
    assert_close(found, values[1:-1], rtol=0, atol=1e-9)


def test_it_differs_from_the_semi_gradient_in_r_alone():
    one = semi_gradient(markov(WALK), critic(True))
    two = implicit_temporal_difference(markov(WALK), critic(True), step=0.5)
    assert (one.query, one.objective) == (two.query, two.objective)
    (solved,) = (line for line in repr(two.response).splitlines() if line.startswith("  solved"))
    assert solved == (
        "  solved for Critic = antiphon.grammars.bellman:implicit(bias=True, step=0.5) "
        "(error *.3, tap Nature.sample, tap Nature.sample.5)"
    )


class Deep(nn.Linear):
    """Not linear at all, as far as its name tells."""


def test_what_has_no_closed_form_is_refused(refusal):
    process: MarkovProcess = WALK
    text = refusal(
        GrammarError,
        lambda: implicit_temporal_difference(markov(process), Factory.of(Deep, 5, 1, dtype=F64), step=0.1),
    )
    assert text.startswith("implicit_temporal_difference was given critic ")
    assert text.endswith(
        "(5, 1, dtype=torch.float64); expected torch.nn.Linear, whose implicit step has a closed form. Put the network "
        "into Nature's features, or take another method."
    )
