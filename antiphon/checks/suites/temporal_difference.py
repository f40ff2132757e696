"""Test the grammars of temporal differences and related methods: gradients are exact, and Critic reaches a solution.

The solutions are known. In the cases that learn, each batch has all transitions, weighted by their probability, so that
there is no noise.
"""

import functools
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from antiphon.checks.measured import Measured
from antiphon.checks.recorded import learned
from antiphon.checks.suite import Case, Learning, Study, Suite, descent
from antiphon.checks.suites.random_processes import F64, GAMMA, known, linear, policy_of, random_process
from antiphon.envs import MarkovProcess, baird_policies, baird_star, chooser, markov
from antiphon.envs.markov_solutions import (
    action_values,
    biased_residual_minimum,
    projected_error,
    projected_fixpoint,
    residual_minimum,
    state_values,
    stationary,
)
from antiphon.grammars import Factory, Grammar, Learned, Port, Promise, promised
from antiphon.grammars.library import (
    double_residual_gradient,
    gtd2,
    implicit_temporal_difference,
    residual_gradient,
    semi_gradient,
    tdc,
    temporal_difference,
)
from antiphon.grammars.library.networks import Perceptron, StateAction
from antiphon.grammars.precision import make_double


def sampled(make: Callable[..., Grammar], seed: int) -> Grammar:
    """Make a grammar with random networks for Critic (and Corrector, if any), on random off-policy transitions.

    make: the function that makes the grammar of a method, such as `tdc`.
    """
    choose, process = random.Random(seed), random_process(seed, 3)
    behaviour, policy = policy_of(seed, process), policy_of(seed + 1, process)
    nature = markov(process, play="draw", batch=7, behaviour=behaviour, policy=policy)
    networks = [_perceptron(choose.randint(2, 6)) for _ in range(_count(make))]
    return make(nature, *networks, gamma=GAMMA)


def _count(make: Callable[..., Grammar]) -> int:
    """Return the number of players in the grammar of a method: 2 if it has a Corrector besides Critic, else 1."""
    return 2 if make in (gtd2, tdc) else 1


def _perceptron(hidden: int) -> Factory:
    return Factory.of(make_double, Factory.of(Perceptron, 3, 1, [hidden]))  # the processes are float64


def cloned_sampled(seed: int) -> Grammar:
    """Make a temporal-difference grammar with a clone of Critic (a target network), with random options.

    Critic's inputs are states of random transitions, or states and actions of running episodes. The clone is a copy of
    Critic, or moves toward Critic by a fraction.
    """
    choose, process = random.Random(seed), random_process(seed, 3)
    clone = {"gamma": GAMMA, "clone_every": choose.randint(1, 3), "soft": choose.choice([None, 0.5])}
    if choose.random() < 0.5:
        return temporal_difference(markov(process, play="draw", batch=7), _perceptron(4), **clone)
    actor = chooser(process, [choose.randrange(2) for _ in range(process.states)], size=5)
    return temporal_difference(
        markov(process, play="walk", batch=5),
        Factory.of(make_double, Factory.of(StateAction, 3, 2, 1, [4])),
        actor,
        **clone,
    )


def implicit_sampled(seed: int) -> Grammar:
    """Make a grammar of implicit temporal differences with a linear Critic, on random off-policy transitions.

    For odd seeds, Critic has a bias.
    """
    process = random_process(seed, 3)
    nature = markov(process, play="draw", batch=7, policy=policy_of(seed, process))
    critic = Factory.of(nn.Linear, 3, 1, bias=bool(seed % 2), dtype=F64)
    return implicit_temporal_difference(nature, critic, step=random.Random(seed).uniform(0.1, 5), gamma=GAMMA)


def bellman(seed: int) -> Grammar:
    """Make a temporal-difference grammar in which Critic has one parameter per state.

    The grammar promises that Critic learns the solution of the Bellman equation.
    """
    process = random_process(seed)
    values = state_values(process, process.uniform_policy, GAMMA)
    grammar = temporal_difference(markov(process), linear(process.states - 1), gamma=GAMMA)
    return known(grammar, values[~process.terminal], "the values of the policy")


def bellman_of_actions(seed: int) -> Grammar:
    """Make a temporal-difference grammar in which Critic has one parameter per state and action.

    The grammar promises that Critic learns the action values of Actor's fixed policy.
    """
    process, choose = random_process(seed), random.Random(seed)
    choice = [choose.randrange(process.actions) for _ in range(process.states)]
    policy = torch.nn.functional.one_hot(torch.tensor(choice), process.actions).double()
    nature = markov(process)
    actor = chooser(process, choice, size=dict(nature.sizes)["batch"])
    table = Factory.of(nn.Bilinear, process.states - 1, process.actions, 1, bias=False, dtype=F64)
    values = action_values(process, policy, GAMMA)[~process.terminal]
    return known(temporal_difference(nature, table, actor, gamma=GAMMA), values, "the values of Actor's actions")


def at_fixpoint(make: Callable[..., Grammar], seed: int, **options: float) -> Grammar:
    """Make a grammar with a linear Critic on on-policy transitions, and promise that Critic learns the TD fixpoint.

    This is the fixpoint of the Bellman operator followed by the projection onto linear functions.
    make: the function that makes the grammar of a method, such as `tdc`. options: further arguments of `make`.
    """
    process = random_process(seed, 2)
    often = stationary(process, process.uniform_policy)
    grammar = make(markov(process, distribution=often), *[linear(2)] * _count(make), gamma=GAMMA, **options)
    promises = map(_with_distance, grammar.guarantee.promises)
    grammar = replace(grammar, guarantee=promised(*promises))
    return known(grammar, projected_fixpoint(process, process.uniform_policy, GAMMA, often), "the projected fixpoint")


def _with_distance(promise: Promise) -> Promise:
    return replace(promise, distance=Factory.of(from_projection)) if isinstance(promise, Learned) else promise


def from_projection(modules: Mapping[str, nn.Module], values: Mapping[Port, Tensor]) -> Tensor:
    """Return the largest difference of Corrector's weights from their solution, C^-1 E[error phi], 0-d.

    phi are the features of a state, C = E[phi phi'] is their second moment, and error is the temporal difference.
    """
    features, weight, error = values[Port("Nature.sample")], values[Port("Nature.sample", 5)], values[Port("error")]
    weighted = features.T * weight
    (found,) = modules["Corrector"].parameters()
    return (found[0] - torch.linalg.solve(weighted @ features, weighted @ error)).abs().max()


def at_minimum(make: Callable[..., Grammar], minimum: Callable[..., Tensor], where: str, seed: int) -> Grammar:
    """Make a grammar with a linear Critic, and promise that Critic comes to rest at the known minimum of its loss.

    make: the function that makes the grammar of a method. minimum: computes the minimum. where: name of the
    minimum, in words.
    """
    process = random_process(seed, 2)
    theta = minimum(process, process.uniform_policy, GAMMA, process.uniform_distribution)
    return known(make(markov(process), linear(2), gamma=GAMMA), theta, where)


def star(seed: int) -> Measured:
    """Test that on Baird's counterexample semi-gradients diverge and the method `tdc` converges (essay, Remark 2).

    The measured value is 0 if both are true, else 1.
    """
    process, (behaviour, policy) = baird_star(F64), baird_policies()
    nature = markov(process, behaviour=behaviour, policy=policy)
    evenly, found = process.uniform_distribution, list[tuple[float, float]]()
    for grammar, agents in (
        (semi_gradient(nature, linear(8), gamma=0.99), {"Critic": descent(0.1)}),
        (tdc(nature, linear(8), linear(8), gamma=0.99), {"Critic": descent(0.05), "Corrector": descent(0.5)}),
    ):
        theta = learned(grammar, seed, agents, 300)["Critic"]["parameters"]["weight"][0]
        found.append((projected_error(process, policy, 0.99, evenly, theta), float(theta.norm())))
    (diverged, far), (rested, near) = found
    detail = f"after 300 expected updates the semi-gradient is at norm {far:.3g} with a projected error of "
    detail += f"{diverged:.3g}, tdc at {near:.3g} with {rested:.3g}"
    return Measured("Critic", float(diverged < 1 or rested > 1e-2), 0.0, detail=detail)


def twice(seed: int) -> Measured:
    """Test that residual gradients need two samples of the next state.

    Compare the mean squared Bellman residual at the minima of two losses: with one sample, and with two samples. The
    measured value is 0 if the residual is larger for one sample, else 1.
    """
    process = random_process(seed, 2)
    policy, evenly = process.uniform_policy, process.uniform_distribution
    minima = [each(process, policy, GAMMA, evenly) for each in (residual_minimum, biased_residual_minimum)]
    residuals = [mean_squared_residual(process, theta) for theta in minima]
    detail = f"its minimum has a mean squared residual of {residuals[1]:.4g}, and the least is {residuals[0]:.4g}"
    return Measured("Critic", float(residuals[1] <= residuals[0]), 0.0, detail=detail)


def mean_squared_residual(process: MarkovProcess, theta: Tensor) -> float:
    """Return the mean squared Bellman residual, E[(E[error | s])^2], of a linear value function.

    The value of a state is <theta, phi>, with the features phi of the state. All states have equal weight.
    """
    policy, values = process.uniform_policy, process.features.double() @ theta
    residual = process.expected_rewards(policy) + GAMMA * process.continuing(policy) @ values - values
    return float(process.uniform_distribution @ residual.square())


SAMPLED = {
    "cloned": cloned_sampled,
    "semi-gradients": functools.partial(sampled, semi_gradient),
    "residual gradients": functools.partial(sampled, residual_gradient),
    "double residual gradients": functools.partial(sampled, double_residual_gradient),
    "gtd2": functools.partial(sampled, gtd2),
    "tdc": functools.partial(sampled, tdc),
    "implicit": implicit_sampled,
}
"""Functions that make grammars on random transitions, by name. Only their gradients are tested."""

TWO_SCALES = {"Critic": descent(0.5), "Corrector": descent(0.9)}

# By the eigenvalues of the update, these rounds bring the slowest of 1000 instances within 1e-7 of its solution.
SOLVED = {
    "table": (bellman, Learning(100, descent(2.0))),
    "table of actions": (bellman_of_actions, Learning(100, descent(4.0))),
    "linear": (functools.partial(at_fixpoint, semi_gradient), Learning(100, descent(0.3))),
    "linear, residual": (
        functools.partial(at_minimum, residual_gradient, biased_residual_minimum, "the least error of transitions"),
        Learning(250, descent(0.4)),
    ),
    "linear, double residual": (
        functools.partial(at_minimum, double_residual_gradient, residual_minimum, "the least residual"),
        Learning(250, descent(0.4)),
    ),
    "linear, gtd2": (functools.partial(at_fixpoint, gtd2), Learning(400, TWO_SCALES)),
    "linear, tdc": (functools.partial(at_fixpoint, tdc), Learning(400, TWO_SCALES)),
    # With this step semi-gradients diverge.
    "linear, implicit, long steps": (
        functools.partial(at_fixpoint, implicit_temporal_difference, step=20.0),
        Learning(60, descent(20.0)),
    ),
}
"""Tests in which Critic reaches a known solution: by name, (function that makes the grammar, how players learn)."""

SUITE = Suite(
    "temporal-difference",
    (
        *(Case(name, make, instances=6 if make is cloned_sampled else 5) for name, make in SAMPLED.items()),
        *(Case(name, make, instances=1, learning=learning) for name, (make, learning) in SOLVED.items()),
    ),
    (
        Study("refuted: semi-gradients converge off policy", star),
        Study("refuted: one next state is enough for a residual gradient", twice, 5),
    ),
)
