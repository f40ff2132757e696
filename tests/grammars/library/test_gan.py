"""Grammar 3: one minus sign away from backpropagation; the best Curator is the one that the essay writes down."""

import math

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.envs import arrays
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library import gan
from antiphon.grammars.query import Kind
from antiphon.grammars.reference import reference_gradients
from antiphon.grammars.seeds import stream
from antiphon.oracles import gaussian

D = torch.float64
BATCH, LATENT, SIZE = 9, 3, 4


class Layers(nn.Sequential):
    """A small network in float64, with something added to what it plays."""

    def __init__(self, inputs: int, outputs: int, offset: float = 0.0) -> None:
        last = nn.Linear(5, outputs, dtype=D)
        super().__init__(nn.Linear(inputs, 5, dtype=D), nn.Tanh(), last)
        with torch.no_grad():
            last.bias.add_(offset)


def small(saturating: bool = True, offset: float = 0.0) -> Grammar:
    x = torch.randn(BATCH, SIZE, dtype=D, generator=torch.Generator().manual_seed(0))
    noise = gaussian((LATENT,), batch=BATCH, dtype=D)
    forger, curator = Factory.of(Layers, LATENT, SIZE), Factory.of(Layers, SIZE, 1, offset)
    return gan(arrays(x, batch=BATCH), noise, forger, curator, saturating=saturating)


def heard(grammar: Grammar, seed: int = 0) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]]]:
    """What was delivered, and the gradient of the objective as torch composes it."""
    with InlineExecutor(assign(grammar, RECORDER, seed=seed)) as executor:
        states = executor.states()
        executor.play(1)
        return delivered(executor), reference_gradients(grammar, states, seed, 0)


def test_who_plays_and_what_is_promised():
    grammar = small()
    assert [(node.name, node.kind) for node in grammar.query.nodes] == [
        ("Environment.sample", Kind.ORACLE), ("Noise.sample", Kind.ORACLE), ("Forger", Kind.PLAYER),
        ("Curator", Kind.PLAYER), ("Curator#2", Kind.PLAYER), ("L", Kind.LOSS),
    ]  # fmt: skip
    assert repr(grammar.objective) == "maximise L"
    assert grammar.guarantee.categories == (Category.EXACT, Category.LEARNED)


@pytest.mark.parametrize("seed", range(5))
def test_forger_hears_minus_backpropagation_to_the_last_bit_and_curator_the_same(seed):
    grammar = small()
    plain = Grammar("plain", grammar.query, chain_rule(grammar.query, grammar.objective), grammar.objective)
    found, expected = heard(grammar, seed)
    backpropagated, _ = heard(plain, seed)
    for one, two, three in zip(found["Forger"], backpropagated["Forger"], expected["Forger"], strict=True):
        assert torch.equal(one, -two)
        assert one.allclose(-three, rtol=1e-10, atol=1e-14)
    for one, two, three in zip(found["Curator"], backpropagated["Curator"], expected["Curator"], strict=True):
        assert torch.equal(one, two)
        assert one.allclose(three, rtol=1e-10, atol=1e-14)


def test_the_two_responses_differ_in_r_alone():
    one, two = small(), small(saturating=False)
    assert one.query == two.query
    assert one.objective == two.objective
    assert one.response != two.response


def unconvinced_gradient(grammar: Grammar, seed: int) -> list[Tensor]:
    """Of the mean of softplus(-D(G(eps))) in Forger's parameters, by torch."""
    with InlineExecutor(assign(grammar, RECORDER, seed=seed)) as executor:
        states = executor.states()
    forger, curator = Layers(LATENT, SIZE), Layers(SIZE, 1)
    forger.load_state_dict(states["Forger"]["parameters"])
    curator.load_state_dict(states["Curator"]["parameters"])
    (noise,) = (each.declaration for each in grammar.query.oracles if each.name == "Noise")
    (eps,) = noise.make(stream(seed, "oracle", "Noise")).answer("sample", (), 0)
    loss = nn.functional.softplus(-curator(forger(eps))).mean()
    return list(torch.autograd.grad(loss, list(forger.parameters())))


@pytest.mark.parametrize("seed", range(5))
def test_the_non_saturating_response_is_the_gradient_of_minus_log_d(seed):
    grammar = small(saturating=False)
    found, expected = heard(grammar, seed)
    for one, two in zip(found["Forger"], unconvinced_gradient(grammar, seed), strict=True):
        assert one.allclose(two, rtol=1e-10, atol=1e-14)
    for one, two in zip(found["Curator"], expected["Curator"], strict=True):
        assert one.allclose(two, rtol=1e-10, atol=1e-14)


def test_only_the_non_saturating_response_is_loud_while_curator_is_sure():
    def loudness(saturating: bool) -> float:
        found, _ = heard(small(saturating, offset=-20.0))
        return max(float(each.abs().max()) for each in found["Forger"])

    assert loudness(saturating=True) < 1e-7
    assert loudness(saturating=False) > 1e-2


NATURE, FORGER, SCALE = 1.2, -0.3, 0.9


class Fixed(nn.Module):
    """m + s eps."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.mean, self.scale = nn.Parameter(torch.tensor(mean, dtype=D)), scale

    def forward(self, eps: Tensor) -> Tensor:
        return self.mean + self.scale * eps


def test_for_a_fixed_forger_curator_reaches_the_best_one_and_the_value_is_a_divergence():
    """Drawn samples, not quantiles: 100 000 of each, on which the best logit is off by sampling alone."""
    count = 100_000
    x = NATURE + SCALE * torch.randn(count, 1, dtype=D, generator=torch.Generator().manual_seed(1))
    noise = gaussian((1,), batch=count, dtype=D)
    grammar = gan(
        arrays(x, batch=count, shuffle=False),
        noise,
        Factory.of(Fixed, FORGER, SCALE),
        Factory.of(nn.Linear, 1, 1, dtype=D),
    )
    rounds = 150
    learns = AgentSpecification.of(
        "Adam", {"lr": 0.1}, scheduler="CosineAnnealingLR", scheduler_arguments={"T_max": rounds}
    )
    rests = AgentSpecification.of("SGD", {"lr": 0.1}, cadence=Cadence(1, rounds))
    with InlineExecutor(assign(grammar, {"Curator": learns, "Forger": rests})) as executor:
        value = executor.play(rounds).losses["L"].values[-1]
        curator = executor.states()["Curator"]["parameters"]
    slope, offset = float(curator["weight"]), float(curator["bias"])
    assert slope == pytest.approx((NATURE - FORGER) / SCALE**2, rel=0.02)
    assert offset == pytest.approx(-(NATURE**2 - FORGER**2) / (2 * SCALE**2), rel=0.03)
    assert value == pytest.approx(-math.log(4) + 2 * jensen_shannon(), abs=0.005)
    at = torch.linspace(-3, 4, 50, dtype=D)
    p, q = density(at, NATURE), density(at, FORGER)
    assert (torch.sigmoid(slope * at + offset) - p / (p + q)).abs().max() < 0.01


def density(x: Tensor, mean: float) -> Tensor:
    return torch.distributions.Normal(mean, SCALE).log_prob(x).exp()


def jensen_shannon() -> float:
    """By the trapezoidal rule."""
    x = torch.linspace(-12, 12, 20_001, dtype=D)
    p, q = density(x, NATURE), density(x, FORGER)
    middle = (p + q) / 2
    return float(torch.trapezoid(torch.special.entr(middle) - (torch.special.entr(p) + torch.special.entr(q)) / 2, x))
