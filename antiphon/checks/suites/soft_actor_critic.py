"""Test the soft-actor-critic grammar on random networks: each player receives the gradient of its own objective."""

import random

import torch

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.regulators import any_networks
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import soft_actor_critic
from antiphon.grammars.library.random_policy import RandomPolicy
from antiphon.oracles import gaussian


def networks(seed: int) -> Grammar:
    """Make a soft-actor-critic grammar of random networks, on a random linear regulator."""
    choose, (world, wind, _, critic, _) = random.Random(seed), any_networks(seed)
    kind, sizes = torch.float64, dict(world.sizes)
    state, action = (each.outputs[0].sized(sizes)[1] for each in (world.questions[0], wind.questions[0]))
    bounds = [choose.choice([(-1.0, 1.0), (0.0, torch.inf), (-torch.inf, torch.inf)]) for _ in range(action)]
    low, high = zip(*bounds, strict=True)
    actor = Factory.of(RandomPolicy, state, action, (choose.randint(2, 6),), low, high, kind)
    noise, draws = (gaussian((action,), batch=sizes[each], symbol=each, dtype=kind) for each in ("envs", "batch"))
    return soft_actor_critic(world, noise, draws, actor, critic, temperature=0.3, gamma=0.8, soft=0.05)


SUITE = Suite("soft-actor-critic", (Case("networks", networks, instances=10),))
