"""Draws the picture of the regulator benchmark: learned quantities, and their closed form (dashed)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import torch
from torch import Tensor

matplotlib.use("Agg")  # without a window; must be set before pyplot is imported
from matplotlib import pyplot


@dataclass
class Curves:
    """Evaluations during training, in order. value, slope: relative errors of Critic and Deviator.

    told: mean gradients that Actor received; gradient: the true gradients; gain: Actor's gain; each (action, state).
    cost: mean cost.
    """

    rounds: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    slope: list[float] = field(default_factory=list)
    told: list[Tensor] = field(default_factory=list)
    gradient: list[Tensor] = field(default_factory=list)
    gain: list[Tensor] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)

    def gradient_error(self, look: int) -> float:
        """Return the relative error of the gradient that Actor received, at evaluation `look`."""
        return float((self.told[look] - self.gradient[look]).norm() / self.gradient[look].norm())


@dataclass(frozen=True)
class Learned:
    """The learned values and slopes (dQ/da) of n states after training, and the true values and slopes.

    value, true_value: (n,). slope, true_slope: (n, action). curves: the evaluations during training.
    """

    value: Tensor
    true_value: Tensor
    slope: Tensor
    true_slope: Tensor
    curves: Curves


def draw(path: Path, still: Learned, moving: Learned, best: Tensor, least: float) -> None:
    """Draw six panels, and save the picture. The upper three panels show the constant Actor.

    still, moving: results with a constant and a learning Actor. best: the optimal gain. least: the cost of this gain.
    """
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 8.5), layout="constrained")
    _scatter(axes[0, 0], "Critic's value at mu(s), Actor still", still.value, still.true_value)
    _scatter(axes[0, 1], "Deviator's slope at mu(s), Actor still", still.slope, still.true_slope)
    _errors(axes[0, 2], still.curves)
    _entries(axes[1, 0], "told to Actor, who moves", moving.curves.rounds, moving.curves.told)
    _dashed(axes[1, 0], moving.curves.rounds, moving.curves.gradient)
    axes[1, 0].set_yscale("symlog", linthresh=0.01)
    _entries(axes[1, 1], "Actor's gain", moving.curves.rounds, moving.curves.gain)
    _dashed(axes[1, 1], moving.curves.rounds, [best] * len(moving.curves.rounds))
    above = [cost / least - 1 for cost in moving.curves.cost]
    axes[1, 2].semilogy(moving.curves.rounds, above, color="black")
    axes[1, 2].set(title="cost above the least, relative", xlabel="round")
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _scatter(axis: Any, title: str, found: Tensor, truth: Tensor) -> None:  # Any: matplotlib's axes are untyped
    low, high = float(truth.min()), float(truth.max())
    axis.plot([low, high], [low, high], "--", color="gray", label="equal")
    columns = found.reshape(len(found), -1), truth.reshape(len(truth), -1)
    for index in range(columns[0].shape[1]):
        axis.plot(columns[1][:, index], columns[0][:, index], ".", markersize=3, label=f"coordinate {index + 1}")
    axis.set(title=title, xlabel="closed form", ylabel="learned")
    axis.legend()


def _errors(axis: Any, curves: Curves) -> None:
    told = [curves.gradient_error(look) for look in range(len(curves.rounds))]
    for label, errors in (("value", curves.value), ("slope", curves.slope), ("Actor's gradient", told)):
        axis.semilogy(curves.rounds, errors, label=label)
    axis.set(title="relative errors, Actor still", xlabel="round")
    axis.legend()


def _entries(axis: Any, title: str, rounds: Sequence[int], matrices: Sequence[Tensor]) -> None:
    axis.set_prop_cycle(None)
    axis.plot(rounds, torch.stack(list(matrices)).flatten(1))
    axis.set(title=f"{title} (closed form dashed)", xlabel="round")


def _dashed(axis: Any, rounds: Sequence[int], matrices: Sequence[Tensor]) -> None:
    axis.set_prop_cycle(None)
    axis.plot(rounds, torch.stack(list(matrices)).flatten(1), "--", alpha=0.7)
