"""Temporal differences and related methods: each is exact for a loss of its own, and comes to rest at a known solution.

Learning uses Natures that play every transition with its probability, so that there is no noise.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.suite import Case, Learning, Measurement, Study, Suite
from antiphon.checks.suites.random_processes import F64, GAMMA, known, linear, policy_of, random_process
from antiphon.checks.witness import learned
from antiphon.envs.markov import chooser, markov
from antiphon.envs.markov_examples import baird_policies, baird_star
from antiphon.envs.markov_process import MarkovProcess
from antiphon.envs.markov_solutions import (
    action_values,
    biased_residual_minimum,
    projected_error,
    projected_fixpoint,
    residual_minimum,
    state_values,
    stationary,
)
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Guarantee, Learned, Promise
from antiphon.grammars.library.implicit import implicit_temporal_difference
from antiphon.grammars.library.networks import Perceptron, StateAction
from antiphon.grammars.library.projected_fixpoint import gtd2, tdc
from antiphon.grammars.library.temporal_difference import (
    double_residual_gradient,
    residual_gradient,
    semi_gradient,
    temporal_difference,
)
from antiphon.grammars.precision import make_double
from antiphon.grammars.query import Port


def sampled(make: Callable[..., Grammar], seed: int) -> Grammar:
    """Networks as critics (and correctors), on transitions drawn off policy."""
    choose, process = random.Random(seed), random_process(seed, 3)
    behaviour, policy = policy_of(seed, process), policy_of(seed + 1, process)
    nature = markov(process, play="draw", batch=7, behaviour=behaviour, policy=policy)
    networks = [_perceptron(choose.randint(2, 6)) for _ in range(2)]
    return make(nature, *networks[: 2 if make in (gtd2, tdc) else 1], gamma=GAMMA)


def _perceptron(hidden: int) -> Factory:
    return Factory.of(make_double, Factory.of(Perceptron, 3, 1, [hidden]))  # the processes are float64


def cloned_sampled(seed: int) -> Grammar:
    """A clone that may follow softly. Critic takes states, or states and actions; transitions are drawn or walked."""
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


def semi_sampled(seed: int) -> Grammar:
    """See `sampled`."""
    return sampled(semi_gradient, seed)


def residual_sampled(seed: int) -> Grammar:
    """See `sampled`."""
    return sampled(residual_gradient, seed)


def double_sampled(seed: int) -> Grammar:
    """See `sampled`."""
    return sampled(double_residual_gradient, seed)


def gtd2_sampled(seed: int) -> Grammar:
    """See `sampled`."""
    return sampled(gtd2, seed)


def tdc_sampled(seed: int) -> Grammar:
    """See `sampled`."""
    return sampled(tdc, seed)


def implicit_sampled(seed: int) -> Grammar:
    """A linear critic, with or without a bias, on transitions drawn off policy."""
    process = random_process(seed, 3)
    nature = markov(process, play="draw", batch=7, policy=policy_of(seed, process))
    critic = Factory.of(nn.Linear, 3, 1, bias=bool(seed % 2), dtype=F64)
    return implicit_temporal_difference(nature, critic, step=random.Random(seed).uniform(0.1, 5), gamma=GAMMA)


def bellman(seed: int) -> Grammar:
    """A table of states: Critic solves the Bellman equation."""
    process = random_process(seed)
    values = state_values(process, process.uniform_policy, GAMMA)
    grammar = temporal_difference(markov(process), linear(process.states - 1), gamma=GAMMA)
    return known(grammar, values[~process.terminal], "the values of the policy")


def bellman_of_actions(seed: int) -> Grammar:
    """A table of states and actions, with an Actor: Critic learns the values of Actor's policy."""
    process, choose = random_process(seed), random.Random(seed)
    choice = [choose.randrange(process.actions) for _ in range(process.states)]
    policy = torch.nn.functional.one_hot(torch.tensor(choice), process.actions).double()
    nature = markov(process)
    actor = chooser(process, choice, size=dict(nature.sizes)["batch"])
    table = Factory.of(nn.Bilinear, process.states - 1, process.actions, 1, bias=False, dtype=F64)
    values = action_values(process, policy, GAMMA)[~process.terminal]
    return known(temporal_difference(nature, table, actor, gamma=GAMMA), values, "the values of Actor's actions")


def at_fixpoint(make: Callable[..., Grammar], seed: int, **options: float) -> Grammar:
    """Linear features, on policy: Critic comes to rest at the projected fixpoint."""
    process = random_process(seed, 2)
    often = stationary(process, process.uniform_policy)
    players = [linear(2)] * (2 if make in (gtd2, tdc) else 1)
    grammar = make(markov(process, distribution=often), *players, gamma=GAMMA, **options)
    if make in (gtd2, tdc):
        grammar = replace(grammar, guarantee=Guarantee(tuple(map(_with_distance, grammar.guarantee.promises))))
    return known(grammar, projected_fixpoint(process, process.uniform_policy, GAMMA, often), "the projected fixpoint")


def _with_distance(promise: Promise) -> Promise:
    return replace(promise, distance=Factory.of(from_projection)) if isinstance(promise, Learned) else promise


def from_projection(modules: Mapping[str, nn.Module], values: Mapping[Port, Tensor]) -> Tensor:
    """The largest error of Corrector's weights against the projected expected error, C^-1 E[error phi]."""
    features, weight, error = values[Port("Nature.sample")], values[Port("Nature.sample", 5)], values[Port("error")]
    weighted = features.T * weight
    (found,) = modules["Corrector"].parameters()
    return (found[0] - torch.linalg.solve(weighted @ features, weighted @ error)).abs().max()


def semi_at_fixpoint(seed: int) -> Grammar:
    """See `at_fixpoint`."""
    return at_fixpoint(semi_gradient, seed)


def gtd2_at_fixpoint(seed: int) -> Grammar:
    """See `at_fixpoint`."""
    return at_fixpoint(gtd2, seed)


def tdc_at_fixpoint(seed: int) -> Grammar:
    """See `at_fixpoint`."""
    return at_fixpoint(tdc, seed)


def implicit_at_fixpoint(seed: int) -> Grammar:
    """See `at_fixpoint`. With this step semi-gradients diverge."""
    return at_fixpoint(implicit_temporal_difference, seed, step=20.0)


def residual_at_minimum(seed: int) -> Grammar:
    """With one sample of the next state: the least mean squared error of single transitions."""
    process = random_process(seed, 2)
    minimum = biased_residual_minimum(process, process.uniform_policy, GAMMA, process.uniform_distribution)
    return known(residual_gradient(markov(process), linear(2), gamma=GAMMA), minimum, "the least error of transitions")


def double_at_minimum(seed: int) -> Grammar:
    """With two samples of the next state: the least mean squared Bellman residual."""
    process = random_process(seed, 2)
    minimum = residual_minimum(process, process.uniform_policy, GAMMA, process.uniform_distribution)
    return known(double_residual_gradient(markov(process), linear(2), gamma=GAMMA), minimum, "the least residual")


def star(seed: int) -> Measurement:
    """On Baird's star semi-gradients diverge, and tdc converges (essay, Remark 2, on projected fixpoint methods)."""
    process, (behaviour, policy) = baird_star(F64), baird_policies()
    nature = markov(process, behaviour=behaviour, policy=policy)
    evenly, found = process.uniform_distribution, {}
    for name, grammar, rates in (
        ("semi-gradient", semi_gradient(nature, linear(8), gamma=0.99), {"Critic": 0.1}),
        ("tdc", tdc(nature, linear(8), linear(8), gamma=0.99), {"Critic": 0.05, "Corrector": 0.5}),
    ):
        agents = {player: AgentSpecification.of("SGD", {"lr": lr}) for player, lr in rates.items()}
        states = learned(grammar, seed, agents, 300)
        theta = states["Critic"]["parameters"]["weight"][0]
        found[name] = projected_error(process, policy, 0.99, evenly, theta), float(theta.norm())
    (diverged, far), (rested, near) = found["semi-gradient"], found["tdc"]
    detail = f"after 300 expected updates the semi-gradient is at norm {far:.3g} with a projected error of "
    detail += f"{diverged:.3g}, tdc at {near:.3g} with {rested:.3g}"
    return Measurement(float(diverged < 1 or rested > 1e-2), 0.0, detail)


def twice(seed: int) -> Measurement:
    """Compare the Bellman residuals of two minima: with one sample of the next state, and with two."""
    process = random_process(seed, 2)
    policy, evenly = process.uniform_policy, process.uniform_distribution
    minima = [each(process, policy, GAMMA, evenly) for each in (residual_minimum, biased_residual_minimum)]
    residuals = [mean_squared_residual(process, theta) for theta in minima]
    detail = f"its minimum has a mean squared residual of {residuals[1]:.4g}, and the least is {residuals[0]:.4g}"
    return Measurement(float(residuals[1] <= residuals[0]), 0.0, detail)


def mean_squared_residual(process: MarkovProcess, theta: Tensor) -> float:
    """E[(E[error | s])^2] of <theta, phi>, with equal weights for all states."""
    policy, values = process.uniform_policy, process.features.double() @ theta
    residual = process.expected_rewards(policy) + GAMMA * process.continuing(policy) @ values - values
    return float(process.uniform_distribution @ residual.square())


# By the eigenvalues of the update, these rounds bring the slowest of 1000 instances within 1e-7 of its solution.
STEPS = Learning(100, AgentSpecification.of("SGD", {"lr": 0.3}))
TABLE = Learning(100, AgentSpecification.of("SGD", {"lr": 2.0}))
TABLE_OF_ACTIONS = Learning(100, AgentSpecification.of("SGD", {"lr": 4.0}))
DOWNHILL = Learning(250, AgentSpecification.of("SGD", {"lr": 0.4}))
TWO_SCALES = Learning(
    400, {"Critic": AgentSpecification.of("SGD", {"lr": 0.5}), "Corrector": AgentSpecification.of("SGD", {"lr": 0.9})}
)
IMPLICIT = Learning(60, AgentSpecification.of("SGD", {"lr": 20.0}))

SUITE = Suite(
    "temporal-difference",
    (
        Case("cloned", cloned_sampled, instances=6),
        Case("semi-gradients", semi_sampled, instances=5),
        Case("residual gradients", residual_sampled, instances=5),
        Case("double residual gradients", double_sampled, instances=5),
        Case("gtd2", gtd2_sampled, instances=5),
        Case("tdc", tdc_sampled, instances=5),
        Case("implicit", implicit_sampled, instances=5),
        Case("table", bellman, instances=1, learning=TABLE),
        Case("table of actions", bellman_of_actions, instances=1, learning=TABLE_OF_ACTIONS),
        Case("linear", semi_at_fixpoint, instances=1, learning=STEPS),
        Case("linear, residual", residual_at_minimum, instances=1, learning=DOWNHILL),
        Case("linear, double residual", double_at_minimum, instances=1, learning=DOWNHILL),
        Case("linear, gtd2", gtd2_at_fixpoint, instances=1, learning=TWO_SCALES),
        Case("linear, tdc", tdc_at_fixpoint, instances=1, learning=TWO_SCALES),
        Case("linear, implicit, long steps", implicit_at_fixpoint, instances=1, learning=IMPLICIT),
    ),
    (
        Study("refuted: semi-gradients converge off policy", star, 1, "Critic"),
        Study("refuted: one next state is enough for a residual gradient", twice, 5, "Critic"),
    ),
)
