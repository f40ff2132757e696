"""Deviator-Actor-Critic by hand in plain PyTorch: the peer of our rounds, inline and on a GPU."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import final

import gymnasium
import torch
from torch import Tensor, nn

from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.losses import bellman_gradient_error
from antiphon.recipes.dac import DacTable
from benchmarks.plain import Play


@dataclass(frozen=True)
class PlainDac:
    """Deviator-Actor-Critic by hand, with Adam, on one batch that takes the place of the replay.

    batch: s (batch, state), a (batch, action), reward (batch,), s' and whether s' is terminal, on the networks' device.
    """

    mu: nn.Module
    value: nn.Module
    slope: nn.Module
    old_mu: nn.Module
    old_value: nn.Module
    batch: Sequence[Tensor]
    gamma: float
    soft: float

    @classmethod
    def of(cls, device: torch.device, table: DacTable, state: int = 3, action: int = 1) -> "PlainDac":
        """Networks of an experiment's sizes, and a random batch, on the device."""
        mu = Policy(state, action, table.widths)
        value, slope = (StateAction(state, action, outputs, table.widths) for outputs in (1, action))
        for each in (mu, value, slope):
            each.to(device)
        shapes = ((state,), (action,), (), (state,), ())
        generator = torch.Generator().manual_seed(0)
        batch = [torch.rand(table.batch, *shape, generator=generator).to(device) for shape in shapes]
        return cls(mu, value, slope, deepcopy(mu), deepcopy(value), batch, table.gamma, table.soft)

    def rounds(self) -> Play:
        """Return a function that plays updates, and reads the loss in each."""
        optimizer = torch.optim.Adam(
            [each for network in (self.mu, self.value, self.slope) for each in network.parameters()], lr=0.001
        )

        def play(rounds: int) -> None:
            for _ in range(rounds):
                optimizer.zero_grad()
                loss = self.respond(self.batch)
                optimizer.step()
                self.follow()
                loss.item()

        return play

    def respond(self, batch: Sequence[Tensor]) -> Tensor:
        """Return the loss of a batch, and put the gradients into the parameters."""
        state, action, reward, after, terminated = batch
        played = self.mu(state)
        seen = played.detach()
        g = self.slope(state, seen)
        with torch.no_grad():
            bootstrap = self.old_value(after, self.old_mu(after))
        told = reward, terminated, bootstrap, self.value(state, seen), g, action - seen
        loss = bellman_gradient_error(*told, gamma=self.gamma)
        loss.backward()
        played.backward(-g.detach() / len(state))
        return loss

    @torch.no_grad()
    def follow(self) -> None:
        """Move the clones of Actor and Critic toward their players."""
        for network, old in ((self.mu, self.old_mu), (self.value, self.old_value)):
            for each, follower in zip(network.parameters(), old.parameters(), strict=True):
                follower.lerp_(each, self.soft)


@final
class Pendulum:
    """One copy of Pendulum-v1 with a replay memory, by hand.

    mu: the policy; its actions are from -1 to 1. table: settings of the experiment (noise, memory, rewards).
    """

    def __init__(self, mu: nn.Module, table: DacTable) -> None:
        self._mu, self._table, self._steps = mu, table, 0
        self._environment = gymnasium.make("Pendulum-v1")
        self._state = torch.from_numpy(self._environment.reset(seed=0)[0])[None]
        self._columns = [torch.empty(table.capacity, *shape) for shape in ((3,), (1,), (), (3,), ())]

    @torch.no_grad()
    def step(self) -> None:
        """Make one step with the policy's action and noise, and store the transition."""
        action = (self._mu(self._state) + self._table.sigma_start * torch.randn(1, 1)).clamp_(-1, 1)
        after, reward, terminated, truncated, _ = self._environment.step(2 * action[0].numpy())
        row = self._steps % len(self._columns[0])
        scaled = float(reward) / self._table.reward_scale
        transition = self._state[0], action[0], scaled, torch.from_numpy(after), float(terminated)
        for column, value in zip(self._columns, transition, strict=True):
            column[row] = value
        self._steps += 1
        observed = self._environment.reset()[0] if terminated or truncated else after
        self._state = torch.from_numpy(observed)[None]

    def replay(self, batch: int) -> list[Tensor]:
        """Return a batch of stored transitions, drawn uniformly: s, a, r, s' and whether s' is terminal."""
        rows = torch.randint(min(self._steps, len(self._columns[0])), (batch,))
        return [column.index_select(0, rows) for column in self._columns]
