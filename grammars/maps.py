"""Fixed functions of messages, for edits of a Response graph."""

import torch
from torch import Tensor


def negate(message: Tensor) -> Tensor:
    """Minus the message: the one edit of a generative adversarial network (essay, Grammar 3)."""
    return -message


def add(*messages: Tensor) -> Tensor:
    """The sum of messages, added from first to last, so that rounding is the same everywhere."""
    total = messages[0]
    for message in messages[1:]:
        total = total + message
    return total


def scale(message: Tensor, factor: float) -> Tensor:
    """The message times a number."""
    return message * factor


def over_batch(message: Tensor, factor: float = 1.0) -> Tensor:
    """The message times `factor / batch`: what one example contributes to a mean over the batch (first dimension)."""
    return message * (factor / message.shape[0])


def fixed_matrix(message: Tensor, matrix: Tensor) -> Tensor:
    """`message @ matrix`, the matrix fixed: shape (batch, n) times (n, m)."""
    return torch.matmul(message, matrix)
