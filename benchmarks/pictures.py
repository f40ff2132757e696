"""Pictures of images and curves for RESULTS.md. They need matplotlib, from the development extra."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import torch
from torch import Tensor

matplotlib.use("Agg")  # without a window

from matplotlib import pyplot

Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""For each curve by name: x values and y values."""


def grid(images: Tensor, columns: int) -> Tensor:
    """Arrange square images, (n, size * size) or (n, 1, size, size), in a grid (rows * size, columns * size)."""
    size = round(images[0].numel() ** 0.5)
    tiles = images.reshape(-1, columns, size, size)
    return tiles.permute(0, 2, 1, 3).reshape(len(tiles) * size, columns * size)


def draw(name: str, pictures: Mapping[str, Tensor], curves: Mapping[str, Curves]) -> Path:
    """Draw a row of image grids and of curve panels, and save it as benchmarks/<name>.png. Returns the path.

    pictures: images by title. curves: the curves of each panel, by the label of its y axis. The x axis is rounds.
    """
    count = len(pictures) + len(curves)
    figure, axes = pyplot.subplots(1, count, figsize=(4.2 * count, 4.2), layout="constrained")
    for axis, (title, image) in zip(axes, pictures.items(), strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    for axis, (label, each) in zip(axes[len(pictures) :], curves.items(), strict=True):
        _curves(axis, label, each)
    path = Path(__file__).with_name(f"{name}.png")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
    return path


def _curves(axis: Any, label: str, curves: Curves) -> None:  # Any: matplotlib's axes
    for name, (rounds, values) in curves.items():
        axis.plot(rounds, values, label=name, linewidth=1.2)
    axis.set(xlabel="rounds", ylabel=label)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)


def smooth(values: Sequence[float], over: int) -> list[float]:
    """Return the means of successive blocks of `over` values. An incomplete last block is dropped."""
    whole = len(values) // over * over
    return torch.tensor(values[:whole], dtype=torch.float64).reshape(-1, over).mean(1).tolist()
