"""Finite Markov decision processes with known transition probabilities and rewards."""

from dataclasses import dataclass

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.typed import typed


@typed
@dataclass(frozen=True, eq=False)
class MarkovProcess:
    """A finite Markov decision process with features of its states.

    transitions: P(s' | s, a), (states, actions, states). rewards: r(s, a, s'), same shape. terminal: whether a state
    ends an episode, (states,) bool; no action is taken there, and its value is 0. start: distribution of the first
    state, (states,). features: phi(s), (states, width); players see only these. All edges have the dtype of the
    features; closed forms are float64.
    Raises OracleError if a shape is wrong, or probabilities do not add up to 1.
    """

    transitions: Tensor
    rewards: Tensor
    terminal: Tensor
    start: Tensor
    features: Tensor

    def __post_init__(self) -> None:
        _check_shapes(self)
        check_distribution("transitions", self.transitions)
        check_distribution("start", self.start)
        _check_values(self)

    @property
    def states(self) -> int:
        """The number of states."""
        return self.transitions.shape[0]

    @property
    def actions(self) -> int:
        """The number of actions."""
        return self.transitions.shape[1]

    @property
    def uniform_policy(self) -> Tensor:
        """The policy with equal probabilities of all actions, (states, actions)."""
        return torch.full((self.states, self.actions), 1 / self.actions, dtype=torch.float64)

    @property
    def uniform_distribution(self) -> Tensor:
        """The uniform distribution over the states that are not terminal, (states,)."""
        return torch.where(self.terminal, 0.0, 1 / int((~self.terminal).sum())).double()

    @typed
    def continuing(self, policy: Tensor) -> Tensor:
        """Return P(s' | s) under a policy (states, actions), (states, states); columns of terminal states are 0."""
        return torch.where(self.terminal, 0.0, torch.einsum("sa,sat->st", policy, self.transitions))

    @typed
    def expected_rewards(self, policy: Tensor) -> Tensor:
        """Return E[r | s] under a policy (states, actions), (states,)."""
        return torch.einsum("sa,sat,sat->s", policy, self.transitions, self.rewards)


def check_distribution(name: str, probabilities: Tensor) -> None:
    """Raise OracleError unless the last dimension contains probabilities that add up to 1."""
    total = probabilities.sum(-1)
    if (probabilities < 0).any() or not torch.allclose(total, torch.ones_like(total)):
        raise OracleError(
            f"Markov process: expected {name} to be probabilities that add up to 1; the smallest is "
            f"{float(probabilities.min()):g}, and the sums go from {float(total.min()):g} to {float(total.max()):g}. "
            "Normalise them."
        )


def _check_shapes(process: MarkovProcess) -> None:
    states, actions, *_ = (*process.transitions.shape, 0, 0)
    expected = {
        "transitions": (states, actions, states),
        "rewards": (states, actions, states),
        "terminal": (states,),
        "start": (states,),
        "features": (states, *(process.features.shape[1:2] or (0,))),
    }
    for name, shape in expected.items():
        found = tuple(getattr(process, name).shape)
        if found != shape:
            raise OracleError(
                f"Markov process: expected {name} of shape {shape}, since transitions tell of {states} states and "
                f"{actions} actions; {found} arrived. Give every state and action its entries."
            )


def _check_values(process: MarkovProcess) -> None:
    kind = process.features.dtype  # the dtype of all edges
    for name, values in (("rewards", process.rewards), ("features", process.features)):
        if not torch.isfinite(values.to(kind)).all():
            raise OracleError(
                f"Markov process: {name} are NaN or infinite, or so as {kind}; expected finite numbers. Correct them."
            )
    if process.terminal.all():
        raise OracleError("Markov process: every state is terminal; expected one at least that is not. Correct it.")
