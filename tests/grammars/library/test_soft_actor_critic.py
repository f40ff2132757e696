"""The random policy's density is that of torch, and rounds are those of soft actor-critic by hand."""

import pytest
import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution
from torch.nn.functional import mse_loss

from antiphon.checks.suites.soft_actor_critic import networks
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.steps import Slot
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.grammars.library import RandomPolicy
from antiphon.grammars.query import Port
from antiphon.transport.message import Phase

INF = torch.inf


def test_the_density_between_bounds_is_that_of_torchs_squashed_normal():
    policy = RandomPolicy(3, 2, (8,), dtype=torch.float64)
    state, eps = torch.randn(50, 3, dtype=torch.float64), torch.randn(50, 2, dtype=torch.float64)
    action, density = policy(state, eps)
    mean, spread = policy.network(state).chunk(2, -1)
    torch.testing.assert_close(
        density, TransformedDistribution(Normal(mean, spread.exp()), [TanhTransform()]).log_prob(action).sum(-1)
    )


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (2.0, INF), (-INF, -1.0), (-INF, INF)])
def test_the_density_is_the_normals_divided_by_the_slope_of_the_map(low, high):
    policy = RandomPolicy(3, 1, (8,), (low,), (high,), torch.float64)
    state, eps = torch.randn(50, 3, dtype=torch.float64), torch.randn(50, 1, dtype=torch.float64)
    action, density = policy(state, eps)
    mean, spread = policy.network(state).chunk(2, -1)
    x = (mean + spread.exp() * eps).detach().requires_grad_()
    (slope,) = torch.autograd.grad(policy.within(x).sum(), x)
    expected = Normal(mean, spread.exp()).log_prob(x) - slope.log()
    torch.testing.assert_close(density, expected.squeeze(1))
    assert ((low < action) & (action < high)).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_responses_are_the_gradients_of_soft_actor_critic_by_hand(seed):
    grammar, seen = networks(seed), {}
    ports = [*(Port("Nature.replay", index) for index in range(5)), Port("Draws.sample"), Port("Draws.sample#2")]

    def watch(round, held):
        seen[round] = [held[Slot(Phase.QUERY, port)].clone() for port in ports]

    with InlineExecutor(assign(grammar, RECORDER, seed=seed), watch=watch) as play:
        play.play(1)
        heard = delivered(play)
        mu, *critics = (play.modules()[name] for name in ("Actor", "Critic", "Twin"))
    state, action, reward, after, terminated, then, now = seen[0]
    with torch.no_grad():
        following, density = mu(after, then)
        least = torch.minimum(*(critic(after, following) for critic in critics))
        target = reward[:, None] + 0.8 * (1 - terminated[:, None]) * (least - 0.3 * density[:, None])
    losses = [mse_loss(critic(state, action), target) for critic in critics]
    played, density = mu(state, now)
    losses.insert(0, (0.3 * density[:, None] - torch.minimum(*(critic(state, played) for critic in critics))).mean())
    for name, loss, module in zip(("Actor", "Critic", "Twin"), losses, (mu, *critics), strict=True):
        expected = torch.autograd.grad(loss, list(module.parameters()))
        for mine, theirs in zip(heard[name], expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
