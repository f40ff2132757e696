"""Representation 3 and Remark 2: what each method rests at is known on small Markov decision processes.

Nature plays every transition with its probability, so that a round is an expected update and nothing is chance.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from antiphon.agents import AgentSpecification
from antiphon.envs.markov import chooser, markov
from antiphon.envs.markov_examples import boyan_chain, random_walk
from antiphon.envs.markov_process import MarkovProcess
from antiphon.envs.markov_solutions import (
    action_values,
    biased_residual_minimum,
    projected_fixpoint,
    residual_minimum,
    state_values,
    stationary,
)
from antiphon.errors import GrammarError
from antiphon.grammars.bellman import bellman_error
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library import (
    double_residual_gradient,
    residual_gradient,
    semi_gradient,
    temporal_difference,
)
from antiphon.grammars.random_grammars import samples

F64 = torch.float64
GAMMA = 0.8


def linear(width: int) -> Factory:
    return Factory.of(nn.Linear, width, 1, bias=False, dtype=F64)


def descent(lr: float) -> AgentSpecification:
    return AgentSpecification.of("SGD", {"lr": lr})


class Deep(nn.Module):
    """A critic that is not linear, of states or of states and actions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 7, dtype=F64), nn.Tanh(), nn.Linear(7, 1, dtype=F64))

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layers(torch.cat(inputs, 1))


def random_process(width: int | None = None, states: int = 6, actions: int = 2) -> MarkovProcess:
    """Everything drawn at random; one state ends episodes. width: of random features, else a unit vector per state."""
    generator = torch.Generator().manual_seed(3)
    transitions = torch.rand(states, actions, states, generator=generator, dtype=F64)
    transitions /= transitions.sum(-1, keepdim=True)
    rewards = torch.randn(states, actions, states, generator=generator, dtype=F64)
    terminal = torch.arange(states) == states - 1
    start = torch.where(terminal, 0.0, 1 / (states - 1)).double()
    features = torch.eye(states, dtype=F64)
    if width is not None:
        features = torch.randn(states, width, generator=generator, dtype=F64)
    return MarkovProcess(transitions, rewards, terminal, start, features)


def errors_at(grammar: Grammar, process: MarkovProcess, module: nn.Module, held: bool) -> tuple[Tensor, Tensor]:
    """Every error, weighted to a mean square; by the plain formula, the target held or not."""
    (nature,) = grammar.query.oracles
    state, _, reward, after, terminated, weight = nature.declaration.make(0).answer("sample", (), 0)
    target = module(after).detach() if held else module(after)
    error = reward + GAMMA * (1 - terminated) * target[:, 0] - module(state)[:, 0]
    return error, weight / len(weight)


@pytest.mark.parametrize("clone_every", [1, 30])
def test_with_a_table_td_reaches_the_solution_of_the_bellman_equation(clone_every, learned):
    process = random_process()
    game = temporal_difference(markov(process), linear(6), gamma=GAMMA, clone_every=clone_every)
    found = learned(game, descent(2.0), 1200)["Critic"]["weight"][0]
    expected = state_values(process, process.uniform_policy, GAMMA)
    assert_close(found[:-1], expected[:-1], rtol=0, atol=1e-9)  # of the end of an episode nothing is asked


def test_with_a_table_and_an_actor_td_reaches_the_values_of_his_actions(learned):
    process, choice = random_process(), [0, 1, 1, 0, 1, 0]
    nature = markov(process)
    actor = chooser(process, choice, size=dict(nature.sizes)["batch"])
    game = temporal_difference(
        nature, Factory.of(nn.Bilinear, 6, 2, 1, bias=False, dtype=F64), actor, gamma=GAMMA, clone_every=5
    )
    found = learned(game, descent(4.0), 1500)["Critic"]["weight"][0]
    policy = torch.nn.functional.one_hot(torch.tensor(choice), 2).double()
    assert_close(found[:-1], action_values(process, policy, GAMMA)[:-1], rtol=0, atol=1e-8)


def test_with_linear_features_td_reaches_the_projected_fixpoint(learned):
    process = random_process(3)
    policy = process.uniform_policy
    often = stationary(process, policy)
    game = temporal_difference(markov(process, distribution=often), linear(3), gamma=GAMMA)
    found = learned(game, descent(0.2), 2000)["Critic"]["weight"][0]
    assert_close(found, projected_fixpoint(process, policy, GAMMA, often), rtol=0, atol=1e-9)


def test_td_reaches_what_boyan_published(learned):
    game = temporal_difference(markov(boyan_chain(F64)), linear(4), gamma=1.0)
    found = learned(game, descent(2.5), 250)["Critic"]["weight"][0]
    assert_close(found, torch.tensor([-24.0, -16.0, -8.0, 0.0], dtype=F64), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "minimum"),
    [(double_residual_gradient, residual_minimum), (residual_gradient, biased_residual_minimum)],
)
def test_residual_gradients_reach_the_minimum_biased_unless_sampled_twice(make, minimum, learned):
    process = random_process(3)
    policy, evenly = process.uniform_policy, process.uniform_distribution
    found = learned(make(markov(process), linear(3), gamma=GAMMA), descent(0.2), 2500)["Critic"]["weight"][0]
    assert_close(found, minimum(process, policy, GAMMA, evenly), rtol=0, atol=1e-8)
    other = residual_minimum if minimum is biased_residual_minimum else biased_residual_minimum
    assert (found - other(process, policy, GAMMA, evenly)).abs().max() > 0.01
    assert (found - projected_fixpoint(process, policy, GAMMA, evenly)).abs().max() > 0.01


def test_a_clone_of_every_round_is_the_semi_gradient(learned):
    process = random_process(3)
    games = [make(markov(process), Factory.of(Deep, 3), gamma=GAMMA) for make in (temporal_difference, semi_gradient)]
    one, two = (learned(game, descent(0.1), 50)["Critic"] for game in games)
    for name, value in one.items():
        assert_close(value, two[name], rtol=1e-12, atol=1e-14)


def test_semi_and_residual_gradient_differ_in_r_alone():
    one, two = (make(markov(random_process()), linear(6)) for make in (semi_gradient, residual_gradient))
    assert (one.query, one.objective) == (two.query, two.objective)
    lines = [set(repr(game.response).splitlines()) for game in (one, two)]
    assert sorted(lines[0] - lines[1]) == [
        "  Critic receives Critic *.parameters",
        "  error * = error * (BE *) -> input 3",
    ]
    assert sorted(lines[1] - lines[0]) == [
        "  Critic receives sum for Critic",
        "  Critic#2 * = Critic#2 * (error *.2) -> parameters",
        "  error * = error * (BE *) -> input 2, input 3",
        "  sum for Critic = sum (Critic *.parameters, Critic#2 *.parameters)",
    ]


@pytest.mark.parametrize(
    ("make", "held"), [(temporal_difference, True), (semi_gradient, True), (residual_gradient, False)]
)
def test_the_response_is_the_gradient_with_the_target_held_or_not(make, held, told):
    process = random_process(3)
    game = make(markov(process), Factory.of(Deep, 3), gamma=GAMMA)
    found, _, parameters = told(game)
    module = Deep(3)
    module.load_state_dict(parameters["Critic"])
    error, share = errors_at(game, process, module, held)
    expected = torch.autograd.grad((share * error.square()).sum(), tuple(module.parameters()))
    for one, two in zip(found["Critic"], expected, strict=True):
        assert_close(one, two, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [temporal_difference, residual_gradient, double_residual_gradient])
def test_where_exact_is_promised_it_is_the_gradient_of_the_objective(make, told):
    game = make(markov(random_process(3)), Factory.of(Deep, 3), gamma=GAMMA)
    found, expected, _ = told(game)
    assert game.guarantee.categories == (Category.EXACT,)
    for one, two in zip(found["Critic"], expected["Critic"], strict=True):
        assert_close(one, two, rtol=1e-12, atol=1e-14)


def test_semi_gradients_are_not_the_gradient_of_the_objective(told):
    game = semi_gradient(markov(random_process(3)), Factory.of(Deep, 3), gamma=GAMMA)
    found, expected, _ = told(game)
    assert game.guarantee.loss_of("Critic") is not None  # its own, and not the objective
    assert (found["Critic"][0] - expected["Critic"][0]).abs().max() > 1e-3


def test_sampled_twice_the_expected_loss_is_the_squared_expected_error():
    process = random_process(3)
    (state, *ends, weight) = markov(process).make(0).answer("pair", (), 0)
    module = Deep(3)
    with torch.no_grad():
        errors = [
            bellman_error(reward, terminated, module(after), module(state), GAMMA)
            for reward, after, terminated in (ends[:3], ends[3:])
        ]
        values = module(process.features)[:, 0]
        policy = process.uniform_policy
        expected = process.expected_rewards(policy) + GAMMA * process.continuing(policy) @ values - values
    found = (weight * errors[0] * errors[1]).mean()
    assert_close(found, process.uniform_distribution @ expected.square(), rtol=1e-12, atol=0)


def test_where_nature_walks_actor_chooses_the_step():
    process = random_process()
    game = temporal_difference(
        markov(process, play="walk", batch=4), Factory.of(Deep, 8), chooser(process, [0, 1, 0, 1, 0, 1], size=4)
    )
    nodes = game.query.by_name
    assert [port.node for port in nodes["Nature.step"].inputs] == ["Actor.choose"]
    assert [port.node for port in nodes["Actor.choose#2"].inputs] == ["Nature.step"]
    assert [port.node for port in nodes["Critic~"].inputs] == ["Nature.step", "Actor.choose#2"]
    assert [port.node for port in nodes["Critic"].inputs] == ["Nature.observe", "Actor.choose"]


def test_td_learns_from_a_walk(learned):
    process = random_walk(5, F64)
    game = temporal_difference(markov(process, play="walk", batch=64), linear(5), gamma=1.0)
    agent = AgentSpecification.of(
        "SGD", {"lr": 0.5}, scheduler="CosineAnnealingLR", scheduler_arguments={"T_max": 1500}
    )
    found = learned(game, agent, 1500)["Critic"]["weight"][0]
    assert_close(found, torch.arange(1, 6).double() / 6, rtol=0, atol=0.03)


@pytest.mark.parametrize("make", [temporal_difference, semi_gradient, residual_gradient])
def test_a_nature_without_transitions_is_refused(make: Callable[..., Grammar], refusal):
    process = random_process()
    text = refusal(GrammarError, lambda: make(chooser(process, [0] * 6, size=3), linear(6)))
    assert text == (
        "Nature has the questions ['choose']; expected 'sample', or 'observe' and 'step' with an Actor who chooses the "
        "action. Pass such an oracle, or an actor."
    )
    text = refusal(GrammarError, lambda: make(samples(4, (6,), ()), linear(6)))
    assert text == (
        "Nature's question 'sample' answers 2 values; expected 5 or, with weights, one more (see "
        "antiphon.grammars.library.experience). Answer these, in that order."
    )


def test_a_world_that_is_walked_has_no_pairs(refusal):
    walk = markov(random_process(), play="walk", batch=3)
    text = refusal(GrammarError, lambda: double_residual_gradient(walk, linear(6)))
    assert text == (
        "Nature has the questions ['observe', 'sample', 'step']; expected 'pair', two next states of one state, drawn "
        "apart. A world that cannot be put back into a state has no such pair: take the biased residual gradient, or "
        "another method."
    )
