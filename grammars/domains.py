"""Convex sets in which the players of a game play: their diameter, the nearest point, and the best point for a linear
loss.

A point, and the slope of a linear loss, are sequences of tensors: one tensor for each parameter of a player.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, final

import torch
from torch import Tensor

from antiphon.errors import ExperimentError

DomainName: TypeAlias = Literal["ball", "cube", "simplex"]

SLACK = 1e-4
"""Largest distance of a point from a domain, relative to the domain's diameter, that counts as rounding."""


class Domain(Protocol):
    """A closed, bounded, convex set of points."""

    def diameter(self, point: Sequence[Tensor]) -> float:
        """Return the largest Euclidean distance of two points of the set. point: any point, for its shapes."""
        ...

    def project(self, point: Sequence[Tensor]) -> list[Tensor]:
        """Return the point of the set that is nearest to `point`."""
        ...

    def lowest(self, slope: Sequence[Tensor]) -> float:
        """Return the smallest value of the linear loss <slope, u> over all points u of the set."""
        ...


@final
@dataclass(frozen=True)
class Ball:
    """All points whose Euclidean norm, over all tensors together, is at most `radius`."""

    radius: float

    def diameter(self, point: Sequence[Tensor]) -> float:
        """Return twice the radius."""
        return 2 * self.radius

    def project(self, point: Sequence[Tensor]) -> list[Tensor]:
        """Return the point, scaled to the norm `radius` if its norm is larger."""
        scale = min(1.0, self.radius / max(norm(point), 1e-300))
        return [each * scale for each in point]

    def lowest(self, slope: Sequence[Tensor]) -> float:
        """Return minus the radius times the norm of `slope`."""
        return -self.radius * norm(slope)


@final
@dataclass(frozen=True)
class Cube:
    """All points whose numbers are between -`radius` and `radius`."""

    radius: float

    def diameter(self, point: Sequence[Tensor]) -> float:
        """Return the length of the cube's diagonal: twice the radius, times the root of the number of coordinates."""
        return 2 * self.radius * math.sqrt(sum(each.numel() for each in point))

    def project(self, point: Sequence[Tensor]) -> list[Tensor]:
        """Return the point with each number moved to the nearest number of the range."""
        return [each.clamp(-self.radius, self.radius) for each in point]

    def lowest(self, slope: Sequence[Tensor]) -> float:
        """Return minus the radius times the sum of all |numbers| of `slope`."""
        return -self.radius * sum(float(each.double().abs().sum()) for each in slope)


@final
@dataclass(frozen=True)
class Simplex:
    """All points whose rows are probability distributions. A row is one vector along a tensor's last dimension."""

    def diameter(self, point: Sequence[Tensor]) -> float:
        """Return the root of twice the number of rows."""
        return math.sqrt(2 * sum(each.numel() // each.shape[-1] for each in point))

    def project(self, point: Sequence[Tensor]) -> list[Tensor]:
        """Return the nearest distribution of each row (Duchi et al. 2008, Efficient projections onto the l1-ball)."""
        return [_nearest_distribution(each) for each in point]

    def lowest(self, slope: Sequence[Tensor]) -> float:
        """Return the sum of the smallest number of each row: the loss of the best single actions."""
        return sum(float(each.double().amin(-1).sum()) for each in slope)


def _nearest_distribution(rows: Tensor) -> Tensor:
    ordered = rows.sort(descending=True).values
    excess = (ordered.cumsum(-1) - 1) / torch.arange(1, rows.shape[-1] + 1, dtype=rows.dtype)
    last = (ordered > excess).sum(-1, keepdim=True).clamp(min=1) - 1  # none is larger only if a number is NaN
    return (rows - excess.gather(-1, last)).clamp(min=0)


def domain_of(name: DomainName, radius: float) -> Domain:
    """Return the domain with this name. radius: of the ball, or half of the cube's edge; the simplex has none."""
    return {"ball": Ball(radius), "cube": Cube(radius), "simplex": Simplex()}[name]


def norm(point: Sequence[Tensor]) -> float:
    """Return the Euclidean norm of all numbers of the tensors together."""
    return math.sqrt(sum(float(each.double().square().sum()) for each in point))


def inner(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Return the sum of the products of all numbers of two sequences of tensors of the same shapes."""
    return sum(float((a.double() * b.double()).sum()) for a, b in zip(one, other, strict=True))


def refuse_outside(who: str, domain: Domain, point: Sequence[Tensor], remedy: str) -> None:
    """Raise ExperimentError if `point` is outside of a domain by more than rounding. who: subject of the message."""
    has_rows = not isinstance(domain, Simplex) or all(each.dim() and each.shape[-1] for each in point)
    wide = [each.detach().double() for each in point]
    away = norm([a - b for a, b in zip(wide, domain.project(wide), strict=True)]) if has_rows else math.inf
    if not away <= SLACK * max(domain.diameter(wide) if has_rows else 0.0, 1e-300):
        raise ExperimentError(
            f"{who} begins at a point that is {away:.3g} away from its domain, {domain!r}; expected a point of it. "
            f"{remedy}"
        )
