"""Remark 2, the kin with a second player, on Baird's star: what diverges, what does not, and what each is told."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs.markov import markov
from antiphon.envs.markov_examples import baird_policies, baird_star, boyan_chain
from antiphon.envs.markov_solutions import projected_error, projected_fixpoint
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library import gtd2, residual_gradient, semi_gradient, tdc, temporal_difference

F64 = torch.float64
GAMMA = 0.99
BEHAVIOUR, POLICY = baird_policies()
STAR = baird_star(F64)
EIGHT = Factory.of(nn.Linear, 8, 1, bias=False, dtype=F64)
BEGIN = torch.tensor([[1.0, 1, 1, 1, 1, 1, 10, 1]], dtype=F64)
"""Where Sutton and Barto 2018, section 11.2, begin."""


def star(make, *players) -> Grammar:
    return make(markov(STAR, behaviour=BEHAVIOUR, policy=POLICY), EIGHT, *players, gamma=GAMMA)


def after(grammar: Grammar, rates: dict[str, float], rounds: int) -> Tensor:
    """Critic's weights, begun at BEGIN, the others' at 0."""
    agents = {name: AgentSpecification.of("SGD", {"lr": lr}) for name, lr in rates.items()}
    with InlineExecutor(assign(grammar, agents)) as executor:
        states = dict(executor.states())
        states["Critic"]["parameters"]["weight"] = BEGIN
        if "Corrector" in states:
            states["Corrector"]["parameters"]["weight"] = torch.zeros(1, 8, dtype=F64)
        if "Critic~" in states:
            states["Critic~"]["parameters"]["weight"] = BEGIN
        executor.load(states, 0)
        executor.play(rounds)
        return executor.states()["Critic"]["parameters"]["weight"][0]


def error_of(theta: Tensor) -> float:
    return projected_error(STAR, POLICY, GAMMA, STAR.uniform_distribution, theta)


@pytest.mark.parametrize("make", [semi_gradient, temporal_difference])
def test_semi_gradients_diverge_on_bairds_star(make):
    found = [after(star(make), {"Critic": 0.1}, rounds).norm() for rounds in (0, 250, 500)]
    assert found[2] > 5 * found[1] > 25 * found[0]


@pytest.mark.parametrize("make", [gtd2, tdc])
def test_projected_fixpoint_methods_do_not(make):
    game = star(make, EIGHT)
    found = after(game, {"Critic": 0.05, "Corrector": 0.5}, 1000)
    assert found.norm() < BEGIN.norm()
    assert error_of(found) < 1e-4 * error_of(BEGIN[0])


def test_nor_does_the_residual_gradient():
    found = after(star(residual_gradient), {"Critic": 0.2}, 400)
    assert found.norm() < BEGIN.norm()
    assert error_of(found) < 1e-2 * error_of(BEGIN[0])


@pytest.mark.parametrize("make", [gtd2, tdc])
def test_on_policy_they_reach_the_projected_fixpoint(make, learned):
    process = boyan_chain(F64)
    features = Factory.of(nn.Linear, 4, 1, bias=False, dtype=F64)
    agents = {
        "Critic": AgentSpecification.of("SGD", {"lr": 8.0}),
        "Corrector": AgentSpecification.of("SGD", {"lr": 6.0}),
    }
    found = learned(make(markov(process), features, features, gamma=0.9), agents, 250)["Critic"]["weight"][0]
    expected = projected_fixpoint(process, process.uniform_policy, 0.9, process.uniform_distribution)
    assert_close(found, expected, rtol=0, atol=1e-6)


def test_gtd2_and_tdc_differ_in_r_alone():
    one, two = star(gtd2, EIGHT), star(tdc, EIGHT)
    assert (one.query, one.objective) == (two.query, two.objective)
    lines = [set(repr(game.response).splitlines()) for game in (one, two)]
    assert sorted(lines[0] - lines[1]) == [
        "  Critic * = Critic * (error *.3) -> parameters",
        "  error * = error * (Saddle *) -> input 2, input 3",
    ]
    assert sorted(lines[1] - lines[0]) == [
        "  Critic * = Critic * (minus the error, into Critic) -> parameters",
        "  error * = error * (Saddle *) -> input 2",
        "  minus the error, into Critic = antiphon.grammars.bellman:minus_error() (tap error, tap Nature.sample.5)",
        "  tap Nature.sample.5 = tap Nature.sample.5",
        "  tap error = tap error",
    ]
    assert one.guarantee.categories == two.guarantee.categories == (Category.EXACT, Category.LEARNED)


@pytest.mark.parametrize("make", [gtd2, tdc])
def test_what_is_told_is_what_sutton_et_al_wrote(make, told):
    game = star(make, EIGHT)
    found, _, parameters = told(game)
    (nature,) = game.query.oracles
    state, _, reward, following, terminated, weight = nature.declaration.make(0).answer("sample", (), 0)
    theta, w = (parameters[name]["weight"][0] for name in ("Critic", "Corrector"))
    ahead = GAMMA * (1 - terminated)[:, None] * following
    error, h = reward + ahead @ theta - state @ theta, state @ w
    share = (weight / len(weight))[:, None]
    ascent = (state - ahead) * h[:, None] if make is gtd2 else error[:, None] * state - h[:, None] * ahead
    assert_close(found["Critic"][0][0], -(share * ascent).sum(0), rtol=1e-12, atol=1e-14)
    assert_close(found["Corrector"][0][0], -(share * (error - h)[:, None] * state).sum(0), rtol=1e-12, atol=1e-14)
