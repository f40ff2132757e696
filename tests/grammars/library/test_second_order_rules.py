"""WGAN-GP, SGA, consensus, LOLA and MAML: every delivered gradient is that of torch, written without antiphon."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import logsigmoid, mse_loss

from antiphon.agents import AgentSpecification
from antiphon.checks.suites import adjusted_game as adjusted_suite, maml as maml_suite, wgan_gp as wgan_suite
from antiphon.checks.suites.adjusted_game import factor
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library.adjusted_game import adjusted_game, consensus, lola, symplectic
from antiphon.grammars.library.point import Point
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.grammars.reference import modules_of
from antiphon.transport.message import Phase


def played(grammar: Grammar, rounds: int = 3):
    """(delivered gradients, modules, answers of oracles by node) of a round after some learning, in float64."""
    grammar, seen = in_float64(grammar), {}
    with in_double():
        with InlineExecutor(assign(grammar, AgentSpecification.of("SGD", {"lr": 0.1}), seed=5)) as executor:
            executor.play(rounds)
            states = executor.states()
        still = {
            name: {**state, "agent": {"heard": []}} if "agent" in state else state for name, state in states.items()
        }
        with InlineExecutor(assign(grammar, RECORDER, seed=5), watch=lambda _, held: seen.update(held)) as executor:
            executor.load(still, rounds)
            executor.play(1)
            found = delivered(executor)
    answers: dict[str, list[Tensor]] = {}
    for slot, value in sorted(seen.items(), key=lambda each: each[0].port):
        if slot.phase is Phase.QUERY and grammar.query.by_name[slot.port.node].kind == "oracle":
            answers.setdefault(slot.port.node, []).append(value)
    return found, modules_of(grammar, states, 5), answers


def keywords_of(grammar: Grammar, node: str) -> dict:
    operator = grammar.query.by_name[node].operator
    assert operator is not None
    return dict(operator.keywords)


def flat(tensors) -> Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])


def assert_close(found, expected: Tensor) -> None:
    assert (flat(found) - expected).abs().max() <= 1e-10 * expected.abs().max()


@pytest.mark.parametrize("make", [wgan_suite.dense, wgan_suite.convolutional])
def test_the_gradient_penalty_is_that_of_double_backward(make):
    grammar = make(1)
    found, modules, answers = played(grammar)
    weight = keywords_of(grammar, "Penalty")["weight"]
    (x,), (eps,), (mix,) = (answers[name] for name in ("Environment.sample", "Noise.sample", "Mix.sample"))
    forger, curator = modules["Forger"], modules["Curator"]
    forged = forger(eps)
    mix = mix.reshape(-1, *[1] * (x.dim() - 1))
    between = (mix * x + (1 - mix) * forged).detach().requires_grad_()
    (slope,) = torch.autograd.grad(curator(between).sum(), between, create_graph=True)
    penalty = weight * ((slope.flatten(1).square().sum(1).sqrt() - 1) ** 2).mean()
    value = curator(forged).mean() - curator(x).mean()
    assert penalty > 1e-3
    assert_close(
        found["Curator"], flat(torch.autograd.grad(value + penalty, list(curator.parameters()), retain_graph=True))
    )
    assert_close(found["Forger"], flat(torch.autograd.grad(-value, list(forger.parameters()))))


def jacobian(xi: Tensor, parameters) -> Tensor:
    """The derivative of each number of xi by each parameter, by autograd's second derivatives."""
    rows = [
        torch.autograd.grad(each, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        for each in xi
    ]
    return torch.stack([flat(row) for row in rows])


def adjusted(
    losses: dict[str, Tensor], parameters: Mapping[str, Sequence[Tensor]], rule, weight: float
) -> dict[str, Tensor]:
    """What each player is to receive, by the formulas of the papers."""
    own = {name: flat(torch.autograd.grad(losses[name], parameters[name], create_graph=True)) for name in losses}
    xi, every = flat(own.values()), [each for name in losses for each in parameters[name]]
    sizes = [len(each) for each in own.values()]
    if rule is lola:
        found = {}
        for me in losses:
            found[me] = own[me]
            for other in losses:
                if other != me:
                    change = flat(torch.autograd.grad(losses[me], parameters[other], retain_graph=True))
                    found[me] = found[me] - weight * jacobian(own[other], parameters[me]).T @ change
        return found
    h = jacobian(xi, every)
    turn = ((h - h.T) / 2).T @ xi if rule is symplectic else h.T @ xi
    return dict(zip(losses, (xi + weight * turn).split(sizes), strict=True))


RULES = (symplectic, consensus, lola)


@pytest.mark.parametrize("seed", range(3))
def test_adjusted_gradients_of_networks_are_those_of_the_papers(seed):
    grammar = adjusted_suite.networks(seed)
    found, modules, answers = played(grammar)
    (x,), (eps,) = answers["Environment.sample"], answers["Noise.sample"]
    real, fake = modules["Curator"](x), modules["Curator"](modules["Forger"](eps))
    losses = {
        "Curator": -logsigmoid(real).mean() - logsigmoid(-fake).mean(),
        "Forger": -logsigmoid(fake).mean(),
    }
    named = (dict(each.operator.keywords) for each in grammar.query.nodes if each.operator)
    weights = {each["weight"] for each in named if "weight" in each}
    (weight,) = map(float, weights)
    parameters = {name: list(modules[name].parameters()) for name in losses}
    rule = RULES[seed % 3]
    expected = adjusted(losses, parameters, rule, 2 * weight if rule is symplectic else weight)
    plain = {name: flat(torch.autograd.grad(losses[name], parameters[name], retain_graph=True)) for name in losses}
    for name in losses:
        assert_close(found[name], expected[name])
        assert (flat(found[name]) - plain[name]).norm() > 1e-3 * plain[name].norm()


def twisted(*plays: Tensor, player: int) -> Tensor:
    """A loss that is neither convex nor of two players."""
    a, b, c = plays
    return (a.sin() * b * c.roll(1)).sum() + (plays[player] ** 3 * b.cos()).sum() * (player + 1)


@pytest.mark.parametrize("rule", RULES)
def test_adjusted_gradients_of_three_players_are_those_of_the_papers(rule):
    names = ["One", "Two", "Three"]
    losses = {name: Factory.of(twisted, player=index) for index, name in enumerate(names)}
    players = {name: Factory.of(Point, 2, 0.4 + 0.3 * index) for index, name in enumerate(names)}
    found, modules, _ = played(adjusted_game(players, losses, Factory.of(rule, weight=0.7)))
    parameters = {name: list(modules[name].parameters()) for name in names}
    plays = [modules[name]() for name in names]
    values = {name: twisted(*plays, player=index) for index, name in enumerate(names)}
    for name, each in adjusted(values, parameters, rule, 0.7).items():
        assert_close(found[name], each)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_through_a_step_on_each_task_is_that_of_torch(seed):
    grammar = maml_suite.network(seed)
    found, modules, answers = played(grammar)
    step = keywords_of(grammar, "Step")["step"]
    network = nn.ModuleDict({name: modules[name] for name in found})
    net = nn.Sequential(*network.values())
    total = torch.zeros((), dtype=torch.float64)
    named = dict(net.named_parameters())
    for x, y, later, wanted in answers.values():
        slopes = torch.autograd.grad(mse_loss(net(x), y), list(named.values()), create_graph=True)
        moved = {name: each - step * slope for (name, each), slope in zip(named.items(), slopes, strict=True)}
        total = total + mse_loss(functional_call(net, moved, (later,)), wanted)
    expected = torch.autograd.grad(total, list(named.values()))
    assert_close([one for each in found.values() for one in each], flat(expected))


@pytest.mark.parametrize("name", ["symplectic", "consensus", "lola"])
def test_adjusted_players_come_to_rest_where_descent_circles(name):
    found = partial(factor, name, 0.3)
    assert found(1.0) == pytest.approx(abs(1 - 0.3 * (1 + 1j)), abs=1e-5) and found(1.0) < 1
    assert factor("plain", 0.3, 1.0) == pytest.approx(math.sqrt(1.09), abs=1e-5)
