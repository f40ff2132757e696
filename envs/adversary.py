"""Adversaries: Natures that see the play of an online learner, and answer with a linear loss that is hard for it."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, final

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.domains import domain_of, norm
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Positive
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.regret import Regret
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType
from antiphon.oracles.draws import Draws

Losses: TypeAlias = Literal["coins", "leader", "heaviest", "orthogonal"]


@typed
def adversary(
    losses: Losses, dimension: Count, *, radius: Positive = 1.0, dtype: torch.dtype = torch.float32
) -> OracleDeclaration:
    """Declare an adversary. Its question takes a play x, (dimension,), and answers the slope of the loss, of this type.

    losses: three are against distributions over actions. "coins": each action loses 0 or 1, by a fair coin. "leader":
    1 for the action with the smallest total so far, 0 for the others. "heaviest": 1 for the action with the largest
    probability. The fourth, "orthogonal", is against points of a ball of the given radius, in three or more dimensions:
    a unit vector at right angles to the play and to the sum of all slopes so far. Every player then has the regret
    radius * sqrt(rounds).
    The report has the `regret` of the player over all rounds.
    """
    if losses == "orthogonal" and dimension < 3:
        raise OracleError(
            f"adversary: 'orthogonal' was given dimension {dimension}; expected 3 or more, because the slope is at "
            "right angles to two vectors. Use more dimensions."
        )
    edge = EdgeType((dimension,), dtype)
    factory = Factory.of(Adversary, losses, dimension, radius)
    return OracleDeclaration(factory, (Question("lose", (edge,), (edge,)),))


@final
class Adversary:
    """Answers each play with a slope. Keeps the sum of all slopes, and what the player has paid."""

    def __init__(self, losses: Losses, dimension: int, radius: float, *, seed: int) -> None:
        self._choose, self._draws = _CHOICES[losses], Draws(seed)
        self._domain = domain_of("ball" if losses == "orthogonal" else "simplex", radius)
        self._regret = Regret([torch.zeros(dimension)])

    @torch.no_grad()
    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the slope of the loss of this round, and add what the play pays for it."""
        (play,) = inputs
        draw = torch.rand(len(play), generator=self._draws.at(round), dtype=torch.float64)
        slope = self._choose(play.double(), self._regret.slopes[0], draw).to(play.dtype)
        self._regret.add(inputs, [slope])
        return (slope,)

    def report(self) -> Mapping[str, float]:
        """Return the regret over all rounds so far, and the mean loss."""
        return {"regret": self._regret.against(self._domain), "loss": self._regret.paid / max(self._regret.rounds, 1)}

    def state(self) -> State:
        """Return the sums over rounds."""
        return self._regret.state()

    def load(self, state: State) -> None:
        """Continue from a state, with the first draw of a round."""
        self._regret.load(state)
        self._draws.restart()

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


def _coins(play: Tensor, total: Tensor, draw: Tensor) -> Tensor:
    return draw.round()


def _leader(play: Tensor, total: Tensor, draw: Tensor) -> Tensor:
    return torch.zeros_like(total).index_fill_(0, total.argmin(), 1.0)


def _heaviest(play: Tensor, total: Tensor, draw: Tensor) -> Tensor:
    return torch.zeros_like(play).index_fill_(0, play.argmax(), 1.0)


def _orthogonal(play: Tensor, total: Tensor, draw: Tensor) -> Tensor:
    basis = torch.linalg.qr(torch.stack([play, total, draw - 0.5], 1)).Q
    return basis[:, 2] / norm([basis[:, 2]])


_CHOICES = {"coins": _coins, "leader": _leader, "heaviest": _heaviest, "orthogonal": _orthogonal}
