"""The gradient-perturbation lemma at four noise scales: in closed form, by regression, and by DAC's own Deviator
(essay, section 2.4; Balduzzi and Ghifary 2015)."""

import functools

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.assignment import assign
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.recorder import RECORDER
from antiphon.envs.contextual import contextual_bandit
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import dac_bandit
from antiphon.oracles import gaussian

SCALES = (1.0, 0.3, 0.1, 0.03)
DRAWN = torch.Generator().manual_seed(0)
WAVES, PHASES, HEIGHTS = (torch.randn(size, generator=DRAWN, dtype=torch.float64) for size in ((6, 5), (6,), (6,)))
MU = torch.tensor([0.3, -0.5, 0.8, 0.1, -0.2], dtype=torch.float64)


def reward(state: Tensor, action: Tensor) -> Tensor:
    """f, a sum of six waves in five dimensions: smooth, bounded, and with all its derivatives known."""
    return torch.sin(action @ WAVES.T + PHASES) @ HEIGHTS


def slope(sigma: float) -> Tensor:
    """E[grad f(mu + eps)]: by Stein's lemma it is what the regression on eps finds; at sigma = 0 the gradient itself.

    E[cos(x + <u, eps>)] = cos(x) exp(-sigma^2 |u|^2 / 2).
    """
    faded = torch.exp(-0.5 * sigma**2 * WAVES.square().sum(1))
    return (HEIGHTS * torch.cos(WAVES @ MU + PHASES) * faded) @ WAVES


def off(found: Tensor, expected: Tensor) -> float:
    """The relative error."""
    return float((found - expected).norm() / expected.norm())


class Still(nn.Module):
    """Plays one vector, whatever it is shown."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.played = nn.Parameter(start.clone())

    def forward(self, state: Tensor, *_: Tensor) -> Tensor:
        return self.played.expand(len(state), -1)


@functools.cache
def learned(sigma: float, rounds: int = 500, batch: int = 4096) -> tuple[Tensor, Tensor]:
    """Deviator's G after these rounds; and what Actor, who never moves, was told in the last one."""
    nothing = torch.zeros(1, dtype=torch.float64)
    grammar = dac_bandit(
        contextual_bandit(reward, 1, 5, batch=batch, dtype=torch.float64),
        gaussian((5,), batch=batch, scale=sigma, dtype=torch.float64),
        Factory.of(Still, MU),
        Factory.of(Still, nothing),
        Factory.of(Still, nothing.expand(5)),
    )

    def descent(curvature: float) -> AgentSpecification:
        falling = {"total_iters": rounds, "power": 1.0}
        return AgentSpecification.of(
            "SGD", {"lr": 0.2 / curvature}, scheduler="PolynomialLR", scheduler_arguments=falling
        )

    agents = {"Actor": RECORDER, "Critic": descent(2.0), "Deviator": descent(2 * sigma**2)}
    with InlineExecutor(assign(grammar, agents, seed=3)) as executor:
        executor.play(rounds - 1)
        before = executor.states()["Deviator"]["parameters"]["played"]
        executor.play(1)
        return before, executor.states()["Actor"]["agent"]["heard"][0]


def test_the_closed_form_is_the_gradient_in_the_limit():
    mu = MU.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(reward(mu, mu.unsqueeze(0)).sum(), mu)
    torch.testing.assert_close(slope(0.0), gradient, rtol=1e-12, atol=1e-12)
    errors = [off(slope(sigma), gradient) for sigma in SCALES]
    # The error is of second order in sigma: a tenth of the noise, a hundredth of the error.
    assert errors[0] > 0.8 > 0.3 > errors[1] > 10 * errors[3]
    assert errors[2] / errors[3] == pytest.approx((0.1 / 0.03) ** 2, rel=0.02)


@pytest.mark.parametrize("sigma", SCALES)
def test_regression_on_the_deviation_finds_the_closed_form(sigma):
    eps = sigma * torch.randn(400_000, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    design = torch.cat([eps, torch.ones(len(eps), 1, dtype=torch.float64)], 1)
    rewarded = reward(eps, MU + eps)
    solution = torch.linalg.lstsq(design, rewarded).solution
    # What regression leaves over is noise; each coefficient's standard error is its deviation / (sigma n^(1/2)).
    error = (rewarded - design @ solution).std() / (sigma * len(eps) ** 0.5)
    assert (solution[:5] - slope(sigma)).norm() < 2 * 5**0.5 * error < 0.1 * sigma


@pytest.mark.parametrize("sigma", SCALES)
def test_deviator_finds_the_closed_form_and_actor_is_told_it(sigma):
    found, told = learned(sigma)
    assert off(found, slope(sigma)) < 0.1 * sigma
    torch.testing.assert_close(told, -found, rtol=1e-12, atol=1e-14)  # summed over the batch, of -G / batch each


def test_the_less_noise_the_nearer_is_deviator_to_the_gradient():
    errors = [off(learned(sigma)[0], slope(0.0)) for sigma in SCALES]
    expected = [off(slope(sigma), slope(0.0)) for sigma in SCALES]
    assert errors == pytest.approx(expected, rel=0.1, abs=0.002)
