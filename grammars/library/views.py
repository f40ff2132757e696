"""Random views of images, for players that learn without labels."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def moved(images: Tensor, draws: Tensor, turn: float = 0.3, shift: float = 0.25, light: float = 0.3) -> Tensor:
    """Return the images, each turned, shifted, and made brighter or darker by its draws.

    images: (batch, channels, height, width). draws: (batch, 4), from -1 to 1. turn: the largest angle, in radians.
    shift: the largest shift, as a fraction of half the image. light: the largest relative change of brightness.
    """
    angle, right, down, bright = draws.unbind(1)
    cos, sin = (turn * angle).cos(), (turn * angle).sin()
    rows = torch.stack([cos, -sin, shift * right, sin, cos, shift * down], 1).reshape(-1, 2, 3)
    grid = affine_grid(rows, list(images.shape), align_corners=False)
    return grid_sample(images, grid, align_corners=False) * (1 + light * bright)[:, None, None, None]
