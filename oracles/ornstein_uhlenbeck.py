"""Noise whose successive samples are correlated: the process of Ornstein and Uhlenbeck, one path for each example."""

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Positive, Share
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.draws import Draws
from antiphon.oracles.noise import Annealing, refuse_integers, scale_at


@typed
def ornstein_uhlenbeck(
    shape: tuple[Count, ...],
    *,
    batch: Count,
    symbol: str = "batch",
    scale: Positive | Annealing = 1.0,
    theta: Share = 0.15,
    dtype: torch.dtype = torch.float32,
) -> OracleDeclaration:
    """Declare an oracle of noise that drifts: each sample is eps' = (1 - theta) eps + sigma sqrt(1 - (1 - theta)^2) xi.

    xi is standard normal. So each sample has the standard deviation sigma, as that of `gaussian`, and two samples that
    are n samples apart have the correlation (1 - theta)^n. With theta = 1 samples are independent. A process with the
    rate theta', the step dt and the volatility sigma' of other libraries has theta = theta' dt, and
    sigma = sigma' sqrt(dt / (1 - (1 - theta)^2)). The path is not interrupted when an episode ends.
    batch: number of paths. symbol: name of the batch size in the grammar. scale: sigma.
    Questions: sample() -> eps, (batch, *shape), one step of all paths; scale() -> sigma, 0-d.
    Raises OracleError for a dtype that is not floating.
    """
    refuse_integers("ornstein_uhlenbeck", dtype)
    factory = Factory.of(OrnsteinUhlenbeck, scale, theta, (batch, *shape), dtype)
    eps = EdgeType((Batch(symbol), *shape), dtype)
    questions = Question("sample", (), (eps,)), Question("scale", (), (EdgeType((), dtype),))
    return OracleDeclaration(factory, questions, ((symbol, batch),))


@final
class OrnsteinUhlenbeck:
    """The oracle that answers with the paths. Its state is the last sample of each path, divided by sigma."""

    def __init__(
        self, scale: float | Annealing, theta: float, size: tuple[int, ...], dtype: torch.dtype, *, seed: int
    ) -> None:
        self._scale, self._kept, self._dtype, self._draws = scale, 1 - theta, dtype, Draws(seed)
        self._path = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=dtype)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return one tensor. "sample": the next point of each path. "scale": sigma in this round, 0-d."""
        scale = scale_at(self._scale, round)
        if question == "scale":
            return (torch.tensor(scale, dtype=self._dtype),)
        drawn = torch.randn(self._path.shape, generator=self._draws.at(round), dtype=self._dtype)
        self._path = self._kept * self._path + math.sqrt(1 - self._kept**2) * drawn
        return (scale * self._path,)

    def state(self) -> State:
        """Return the last point of each path, divided by sigma."""
        return {"path": self._path.clone()}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._path = state["path"].clone()
        self._draws.restart()

    def report(self) -> Mapping[str, float]:
        """Return an empty report."""
        return {}

    def close(self) -> None:
        """Do nothing: there are no resources to release."""
