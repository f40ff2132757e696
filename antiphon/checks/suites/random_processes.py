"""Make random Markov decision processes, and add to a grammar the promise that Critic reaches a known solution."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from antiphon.envs import MarkovProcess
from antiphon.grammars import Arrives, Factory, Grammar, Learned, promised

GAMMA = 0.8
F64 = torch.float64


def random_process(seed: int, width: int | None = None, states: int = 5) -> MarkovProcess:
    """Make a random Markov decision process with two actions. Its last state ends an episode, and has zero features.

    width: number of random orthogonal features; None gives each state a separate feature (a table).
    """
    generator = torch.Generator().manual_seed(seed)
    transitions = torch.rand(states, 2, states, generator=generator, dtype=F64)
    transitions /= transitions.sum(-1, keepdim=True)
    rewards = torch.randn(states, 2, states, generator=generator, dtype=F64)
    terminal = torch.arange(states) == states - 1
    start = torch.where(terminal, 0.0, 1 / (states - 1)).double()
    features = torch.eye(states, dtype=F64)[:, :-1]
    if width is not None:
        orthogonal, _ = torch.linalg.qr(torch.randn(states - 1, width, generator=generator, dtype=F64))
        features = torch.cat([2 * orthogonal, torch.zeros(1, width, dtype=F64)])
    return MarkovProcess(transitions, rewards, terminal, start, features)


def policy_of(seed: int, process: MarkovProcess) -> Tensor:
    """Return a random policy for a Markov process: the probability of each action, (states, actions), none small."""
    drawn = 0.2 + torch.rand(process.states, process.actions, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return drawn / drawn.sum(1, keepdim=True)


def linear(width: int) -> Factory:
    """Return the factory of a module for Critic or Corrector that is linear in `width` features, without bias."""
    return Factory.of(nn.Linear, width, 1, bias=False, dtype=F64)


def known(grammar: Grammar, theta: Tensor, where: str) -> Grammar:
    """Return the grammar with two more promises: all players come to rest, and Critic's parameters are then theta.

    where: a name for theta, in words.
    """
    players = tuple(player.name for player in grammar.query.players)
    learned = Learned(players, Factory.of(from_theta, theta=theta), 1e-4, f"Critic is at {where}")
    return replace(grammar, guarantee=grammar.guarantee + promised(learned, Arrives()))


def from_theta(modules: dict[str, nn.Module], values: object, theta: Tensor) -> Tensor:
    """Return the largest absolute difference between Critic's parameters and theta, 0-d.

    modules: the module of each player, by name.
    """
    (weight,) = modules["Critic"].parameters()
    return (weight.reshape(-1) - theta.reshape(-1)).abs().max()
