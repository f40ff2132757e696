"""Noise: an oracle of random samples. It is a gray box because its log-density has a gradient (essay, section 2.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Natural, Positive
from antiphon.grammars.oracle import Box, Memoryless, OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.draws import Draws


@typed
@dataclass(frozen=True)
class Annealing:
    """A scale that stays at `start` for `hold` rounds, then changes linearly to `end` within `rounds` rounds.

    >>> falling = Annealing(start=1.0, end=0.2, rounds=4, hold=1)
    >>> [round(falling.at(r), 2) for r in range(7)]
    [1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2]
    """

    start: Positive
    end: Positive
    rounds: Count
    hold: Natural = 0

    def at(self, round: int) -> float:
        """Return the scale in this round."""
        passed = min(max(round - self.hold, 0), self.rounds) / self.rounds
        return self.start + (self.end - self.start) * passed


def scale_at(scale: float | Annealing, round: int) -> float:
    """Return the value in this round of a scale, which is constant or an `Annealing`."""
    return scale.at(round) if isinstance(scale, Annealing) else float(scale)


@typed
def gaussian(
    shape: tuple[Count, ...],
    *,
    batch: Count,
    symbol: str = "batch",
    scale: Positive | Annealing = 1.0,
    dtype: torch.dtype = torch.float32,
) -> OracleDeclaration:
    """Declare an oracle of Gaussian noise eps ~ N(0, sigma^2 I), where sigma is the scale of the round.

    batch: number of samples. symbol: name of the batch size in the grammar.
    Questions: sample() -> eps, (batch, *shape); log_density(eps) -> (batch,), differentiable in eps (a gray box);
    scale() -> sigma, 0-d.
    Raises OracleError for a dtype that is not floating.
    """
    return _declare("gaussian", Factory.of(Gaussian), scale, shape, batch, symbol, dtype)


@typed
def uniform(
    shape: tuple[Count, ...],
    *,
    batch: Count,
    symbol: str = "batch",
    low: float = -1.0,
    high: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> OracleDeclaration:
    """Declare an oracle of noise eps whose elements are independent and uniform in [low, high).

    batch: number of samples. symbol: name of the batch size in the grammar.
    Questions: sample() -> eps, (batch, *shape); log_density(eps) -> (batch,), a gray box whose gradient is zero;
    scale() -> half of the width, 0-d.
    Raises OracleError for low >= high, or a dtype that is not floating.
    """
    if not low < high:
        raise OracleError(f"uniform: expected low below high; low={low!r}, high={high!r} arrived. Correct one of them.")
    return _declare("uniform", Factory.of(Uniform, low, high), (high - low) / 2, shape, batch, symbol, dtype)


@typed
def rademacher(
    shape: tuple[Count, ...],
    *,
    batch: Count,
    symbol: str = "batch",
    scale: Positive | Annealing = 1.0,
    dtype: torch.dtype = torch.float32,
) -> OracleDeclaration:
    """Declare an oracle of noise eps = c Delta: random signs Delta, times the scale c of the round.

    Both signs have probability 1/2; this is the perturbation of Spall (1992).
    batch: number of samples. symbol: name of the batch size in the grammar.
    Questions: sample() -> eps, (batch, *shape); log_density(eps) -> (batch,), the log-probability of the signs, a gray
    box whose gradient is zero; scale() -> c, 0-d.
    Raises OracleError for a dtype that is not floating.
    """
    return _declare("rademacher", Factory.of(Rademacher), scale, shape, batch, symbol, dtype)


class Distribution(Protocol):
    """The protocol of a distribution of noise.

    The argument `scale` is the size of deviations in a round, such as sigma.
    """

    def sample(self, size: Sequence[int], dtype: torch.dtype, scale: float, generator: torch.Generator) -> Tensor:
        """Return independent draws of the given size."""
        ...

    def log_density(self, eps: Tensor, scale: float) -> Tensor:
        """Return the log-density of each element, in the shape of eps."""
        ...


@final
class Gaussian:
    """The normal distribution with mean zero; `scale` is the standard deviation."""

    def sample(self, size: Sequence[int], dtype: torch.dtype, scale: float, generator: torch.Generator) -> Tensor:
        """Return independent normal draws of the given size, with mean 0 and standard deviation `scale`."""
        return torch.randn(*size, generator=generator, dtype=dtype).mul_(scale)

    def log_density(self, eps: Tensor, scale: float) -> Tensor:
        """Return -(eps/sigma)^2 / 2 - log sigma - log(2 pi) / 2 for each element of eps; sigma is `scale`."""
        return -0.5 * (eps / scale).square() - (math.log(scale) + 0.5 * math.log(2 * math.pi))


@final
class Uniform:
    """The uniform distribution on [low, high). Its scale is half of the width in every round, and is not used."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def sample(self, size: Sequence[int], dtype: torch.dtype, scale: float, generator: torch.Generator) -> Tensor:
        """Return independent draws of the given size, uniform in [low, high). `scale` is not used."""
        drawn = torch.rand(*size, generator=generator, dtype=dtype)
        return drawn.mul_(self._high - self._low).add_(self._low)

    def log_density(self, eps: Tensor, scale: float) -> Tensor:
        """Return, for each element of eps, -log(high - low) inside [low, high], and minus infinity outside."""
        inside = (eps >= self._low) & (eps <= self._high)
        # `0 * eps` keeps the result in the autograd graph, so that its gradient can be asked for; it is zero.
        return torch.where(inside, 0 * eps - math.log(self._high - self._low), -math.inf)


@final
class Rademacher:
    """The distribution on plus `scale` and minus `scale`, each with probability 1/2."""

    def sample(self, size: Sequence[int], dtype: torch.dtype, scale: float, generator: torch.Generator) -> Tensor:
        """Return independent draws of the given size: plus or minus `scale`, each with probability 1/2."""
        signs = torch.randint(0, 2, tuple(size), generator=generator).mul_(2).sub_(1)
        return signs.to(dtype).mul_(scale)

    def log_density(self, eps: Tensor, scale: float) -> Tensor:
        """Return, for each element of eps, -log 2 if it equals plus or minus `scale`, else minus infinity."""
        possible = eps.abs() == torch.tensor(scale, dtype=eps.dtype)
        # As in `Uniform.log_density`, the gradient is zero.
        return torch.where(possible, 0 * eps - math.log(2), -math.inf)


@final
class Noise(Memoryless):
    """Answers questions about random noise: samples, log-density, scale.

    The samples are functions of seed, round and number of the draw, so there is no state to save.
    """

    def __init__(
        self,
        distribution: Factory,
        scale: float | Annealing,
        batch: int,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        *,
        seed: int,
    ) -> None:
        self._distribution: Distribution = distribution()
        self._scale, self._size, self._dtype, self._draws = scale, (batch, *shape), dtype, Draws(seed)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the answer to a question, as one tensor.

        "sample": random noise, (batch, *shape). "log_density": the log-density of the input, (batch,). "scale": the
        scale of this round, 0-d.
        """
        scale = scale_at(self._scale, round)
        if question == "sample":
            return (self._distribution.sample(self._size, self._dtype, scale, self._draws.at(round)),)
        if question == "scale":
            return (torch.tensor(scale, dtype=self._dtype),)
        (eps,) = inputs
        return (self._distribution.log_density(eps, scale).reshape(len(eps), -1).sum(1),)

    def load(self, state: State) -> None:
        """Begin again with the first draw of a round, so that a repeated round draws the same.

        `state` has nothing to load.
        """
        self._draws.restart()


def refuse_integers(who: str, dtype: torch.dtype) -> None:
    """Raise OracleError for a dtype that is not floating."""
    if not dtype.is_floating_point:
        raise OracleError(f"{who}: expected a floating dtype; {dtype} arrived. Pass torch.float32 or torch.float64.")


def _declare(
    who: str,
    distribution: Factory,
    scale: float | Annealing,
    shape: tuple[int, ...],
    batch: int,
    symbol: str,
    dtype: torch.dtype,
) -> OracleDeclaration:
    refuse_integers(who, dtype)
    eps, density = EdgeType((Batch(symbol), *shape), dtype), EdgeType((Batch(symbol),), dtype)
    questions = (
        Question("sample", (), (eps,)),
        Question("log_density", (eps,), (density,), Box.GRAY),
        Question("scale", (), (EdgeType((), dtype),)),
    )
    factory = Factory.of(Noise, distribution, scale, batch, shape, dtype)
    return OracleDeclaration(factory, questions, ((symbol, batch),))
