"""Deviator-Actor-Critic by hand in plain PyTorch: the peer of our update on a GPU."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

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
                loss = self._respond()
                optimizer.step()
                self._follow()
                loss.item()

        return play

    def _respond(self) -> Tensor:
        state, action, reward, after, terminated = self.batch
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
    def _follow(self) -> None:
        for network, old in ((self.mu, self.old_mu), (self.value, self.old_value)):
            for each, follower in zip(network.parameters(), old.parameters(), strict=True):
                follower.lerp_(each, self.soft)
