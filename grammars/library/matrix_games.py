"""Finite games by name: the losses of each player, in [0, 1], for all combinations of actions."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def matching_pennies() -> Mapping[str, Tensor]:
    """Return the losses of two players: Even wins if both show the same side, Odd if not. One equilibrium: halves."""
    return {"Even": 1 - torch.eye(2), "Odd": torch.eye(2)}


def prisoners_dilemma() -> Mapping[str, Tensor]:
    """Return the losses of two prisoners, who keep silent (action 0) or confess (1). The equilibrium: both confess."""
    years = torch.tensor([[1.0, 3.0], [0.0, 2.0]]) / 3
    return {"Row": years, "Column": years.T.contiguous()}


def chicken() -> Mapping[str, Tensor]:
    """Return the losses of two drivers, who dare (0) or give way (1). Not all its correlated equilibria are mixtures of
    Nash equilibria.

    Aumann (1974), Subjectivity and correlation in randomized strategies.
    """
    payoff = torch.tensor([[0.0, 7.0], [2.0, 6.0]]) / 7
    return {"Row": 1 - payoff, "Column": 1 - payoff.T.contiguous()}


def rock_paper_scissors() -> Mapping[str, Tensor]:
    """Return the losses of two players: 1 for the one who is beaten, 1/2 for equal actions. One equilibrium: thirds."""
    beaten = torch.tensor([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]])
    return {"Row": beaten, "Column": 1 - beaten}


def shapley() -> Mapping[str, Tensor]:
    """Return the losses of Shapley's game, in which fictitious play circles for ever.

    Row wins if both actions are equal, Column if its action is the next one after Row's. Shapley (1964), Some topics in
    two-person games.
    """
    return {"Row": 1 - torch.eye(3), "Column": 1 - torch.eye(3).roll(1, dims=1)}


def jordan() -> Mapping[str, Tensor]:
    """Return the losses of three players who match pennies in a circle: First wants to equal Second, Second to equal
    Third, and Third to differ from First.

    Jordan (1993), Three problems in learning mixed-strategy Nash equilibria.
    """
    differ = 1 - torch.eye(2)
    first, second, third = differ[:, :, None], differ[None, :, :], 1 - differ[:, None, :]
    return {
        name: each.expand(2, 2, 2).contiguous()
        for name, each in zip(("First", "Second", "Third"), (first, second, third), strict=True)
    }


MATRIX_GAMES: Mapping[str, Callable[[], Mapping[str, Tensor]]] = {
    "matching-pennies": matching_pennies,
    "prisoners-dilemma": prisoners_dilemma,
    "chicken": chicken,
    "rock-paper-scissors": rock_paper_scissors,
    "shapley": shapley,
    "jordan": jordan,
}
