"""Test the Deviator-Actor-Critic grammar on bandits: random networks, a quadratic reward, and several noise scales."""

import random
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.checks.recorded import learned
from antiphon.checks.suite import Case, Learning, Study, Suite, smaller_and_smaller
from antiphon.checks.suites.regulators import Modules
from antiphon.envs import arrays, contextual_bandit, quadratic_bandit
from antiphon.envs.bandit import TARGET, curvature
from antiphon.grammars import Arrives, Estimated, Exact, Factory, Grammar, Learned, PlayerLoss, Port, Promise, promised
from antiphon.grammars.library import dac_bandit
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.library.quadratic import AffineSlope, QuadraticValue
from antiphon.oracles import gaussian

STATE, PLAYED = Port("Nature.observe"), Port("Actor")
SIGMA = 0.5
SCALES = (1.0, 0.3, 0.1, 0.03)

_DRAWN = torch.Generator().manual_seed(0)
_WAVES, _PHASES, _HEIGHTS = (torch.randn(*each, generator=_DRAWN, dtype=torch.float64) for each in ((6, 5), (6,), (6,)))
MU = torch.tensor([0.3, -0.5, 0.8, 0.1, -0.2], dtype=torch.float64)


def networks(seed: int) -> Grammar:
    """Make a Deviator-Actor-Critic grammar with networks of random widths, on a bandit with a quadratic reward."""
    choose = random.Random(seed)
    state, action, batch = choose.randint(1, 4), choose.randint(1, 4), choose.randint(2, 12)
    widths = [(choose.randint(2, 8),) for _ in range(3)]
    return dac_bandit(
        contextual_bandit(bowl, state, action, batch=batch),
        gaussian((action,), batch=batch, scale=SIGMA),
        Factory.of(Policy, state, action, widths[0]),
        Factory.of(StateAction, state, action, 1, widths[1]),
        Factory.of(StateAction, state, action, action, widths[2]),
    )


def bowl(state: Tensor, action: Tensor) -> Tensor:
    """Return the reward of a bandit, (batch,): minus the squared distance of the action from the sum of the state."""
    return -(action - state.sum(1, keepdim=True)).square().sum(1)


def known(seed: int) -> Grammar:
    """Make a grammar on the quadratic bandit whose Deviator begins with the true gradient of the reward.

    Actor then receives the exact gradient of the reward with respect to its parameters; the grammar promises this.
    """
    return _quadratic(seed, Factory.of(KnownBanditSlope, _matrix(seed), 1.0), _told(seed, bias=1e-9))


def still(seed: int) -> Grammar:
    """Make a grammar on the quadratic bandit in which Critic and Deviator begin at zero and Actor stays fixed.

    The grammar promises that Critic learns the reward, and Deviator the gradient of the reward in the action.
    """
    matrix = _matrix(seed)
    distance = Factory.of(from_truth, matrix=matrix)
    ignorant = Factory.of(AffineSlope, 1, len(matrix), torch.float64)
    return _quadratic(seed, ignorant, Learned(("Critic", "Deviator"), distance, tolerance=0.1))


def moving(seed: int) -> Grammar:
    """Make a grammar on the quadratic bandit in which all players learn, and Actor reaches the best action.

    Deviator begins with 0.7 times the true gradient of the reward with respect to the action.
    """
    promises = _told(seed, bias=0.31), Exact(("Critic", "Deviator")), Arrives(tolerance=0.05)
    return _quadratic(seed, Factory.of(KnownBanditSlope, _matrix(seed), 0.7), *promises)


def minus_reward(action: Tensor, matrix: Tensor) -> Tensor:
    """Return the loss of Actor, 0-d: the mean of (a - a*)'C(a - a*) over the actions a, with the best action a*.

    action: a, (batch, d). matrix: C, (d, d). The best action is `TARGET` in each coordinate.
    """
    away = action - TARGET
    return (away @ matrix * away).sum(1).mean()


def from_truth(modules: Modules, values: dict[Port, Tensor], matrix: Tensor) -> Tensor:
    """Return the larger of the relative errors of Critic and Deviator at the actions of a round, 0-d.

    The true output of Critic is the mean reward over the noise. The true output of Deviator is the gradient of the
    reward with respect to the action. matrix: C in the reward -(a - a*)'C(a - a*).
    """
    state, played = values[STATE], values[PLAYED]
    value, slope = modules["Critic"](state, played).squeeze(1), modules["Deviator"](state, played)
    away = played - TARGET
    true_value, true_slope = -(away @ matrix * away).sum(1) - SIGMA**2 * matrix.trace(), -2 * away @ matrix
    return torch.maximum(
        (value - true_value).norm() / true_value.norm(), (slope - true_slope).norm() / true_slope.norm()
    )


def design(dimension: int) -> Tensor:
    """Return 2 d points in d dimensions with exact mean 0 and covariance sigma^2 I, (2 d, d).

    The points are +-sigma d^(1/2) along each axis.
    """
    steps = SIGMA * dimension**0.5 * torch.eye(dimension, dtype=torch.float64)
    return torch.cat([steps, -steps])


@final
class KnownBanditSlope(AffineSlope):
    """A module for Deviator that begins with `part` times the gradient of the reward -(a - a*)'C(a - a*) in a.

    matrix: C. The gradient is -2 C (a - a*).
    """

    def __init__(self, matrix: Tensor, part: float) -> None:
        super().__init__(1, len(matrix), dtype=torch.float64)
        with torch.no_grad():
            self.weights.weight.copy_(part * torch.cat([2 * TARGET * matrix.sum(1, keepdim=True), -2 * matrix], 1))


def _matrix(seed: int) -> Tensor:
    return curvature(2 + seed % 3, seed)


def _told(seed: int, bias: float) -> Estimated:
    loss = PlayerLoss.of(minus_reward, PLAYED, matrix=_matrix(seed))
    return Estimated(("Actor",), loss, bias=bias, draws=2, premise="Deviator knows the slope")


def _quadratic(seed: int, deviator: Factory, *promises: Promise) -> Grammar:
    size = len(_matrix(seed))
    made = dac_bandit(
        quadratic_bandit(size, batch=2 * size, instance=seed, dtype=torch.float64),
        arrays(design(size), batch=2 * size, shuffle=False),
        Factory.of(nn.Linear, 1, size, bias=False, dtype=torch.float64),
        Factory.of(QuadraticValue, 1, size, torch.float64),
        deviator,
    )
    return replace(made, guarantee=promised(*promises))


def waves(state: Tensor, action: Tensor) -> Tensor:
    """Return the reward f(action), (batch,): a sum of six sine waves in five dimensions. Its derivatives are known."""
    return torch.sin(action @ _WAVES.T + _PHASES) @ _HEIGHTS


def faded_slope(sigma: float) -> Tensor:
    """Return the exact mean E[grad f(mu + eps)], (5,), for the reward f of `waves` and normal noise eps.

    sigma: the standard deviation of eps. By Stein's lemma, Deviator learns this mean. It is computed with
    E[cos(x + <u, eps>)] = cos(x) exp(-sigma^2 |u|^2 / 2). For sigma = 0 it is the gradient of f at mu.
    """
    faded = torch.exp(-0.5 * sigma**2 * _WAVES.square().sum(1))
    return (_HEIGHTS * torch.cos(_WAVES @ MU + _PHASES) * faded) @ _WAVES


@final
class Still(nn.Module):
    """A module whose output is its parameter vector, whatever the input: (batch, ...) -> (batch, width)."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.played = nn.Parameter(start.clone())

    def forward(self, state: Tensor, *_: Tensor) -> Tensor:
        """Return the parameter vector for every example, (batch, width). state: (batch, ...)."""
        return self.played.expand(len(state), -1)


def wavy(sigma: float, batch: int) -> Grammar:
    """Make a Deviator-Actor-Critic grammar on a bandit with the reward `waves`, in which Actor plays the action `MU`.

    Critic is one number and Deviator one vector, independent of the state. Both begin at zero.
    sigma: the standard deviation of the noise that is added to the action.
    """
    nothing = torch.zeros(1, dtype=torch.float64)
    return dac_bandit(
        contextual_bandit(waves, 1, 5, batch=batch, dtype=torch.float64),
        gaussian((5,), batch=batch, scale=sigma, dtype=torch.float64),
        Factory.of(Still, MU),
        Factory.of(Still, nothing),
        Factory.of(Still, nothing.expand(5)),
    )


def learned_slope(sigma: float, seed: int, rounds: int, batch: int) -> Tensor:
    """Return the vector, (5,), that Deviator has learned after `rounds` rounds in which Actor stays fixed.

    sigma: the standard deviation of the noise that is added to the action. batch: number of actions per round.
    """

    def descent(second_derivative: float) -> AgentSpecification:
        schedule = {"scheduler": "PolynomialLR", "scheduler_arguments": {"total_iters": rounds, "power": 1.0}}
        return AgentSpecification.of("SGD", {"lr": 0.2 / second_derivative}, **schedule)

    agents = {"Critic": descent(2.0), "Deviator": descent(2 * sigma**2)}
    states = learned(wavy(sigma, batch), seed, agents, rounds, frozenset(agents))
    return states["Deviator"]["parameters"]["played"]


def scaling(seed: int) -> Measured:
    """Test that Deviator learns E[grad f(mu + eps)] of the reward f, at four scales sigma of the noise eps.

    The measured value is the largest of the four relative errors divided by sigma.
    """
    off = {}
    for sigma in SCALES:
        truth = faded_slope(sigma)
        off[sigma] = float((learned_slope(sigma, seed, 150, 1024) - truth).norm() / truth.norm())
    detail = ", ".join(f"{error:.2g} at sigma {sigma}" for sigma, error in off.items())
    return Measured(
        "Deviator", max(error / sigma for sigma, error in off.items()), 0.5, "Deviator *", f"off by {detail}"
    )


SUITE = Suite(
    "dac-bandit",
    (
        Case("networks", networks, instances=10),
        Case("quadratic, slope known", known, instances=10),
        Case("quadratic, Actor still", still, instances=2, learning=Learning(1200, smaller_and_smaller(1200, 0.05))),
        Case("quadratic", moving, instances=2, learning=Learning(2000)),
    ),
    (Study("G follows E[grad f(mu + eps)] at four noise scales", scaling),),
)
