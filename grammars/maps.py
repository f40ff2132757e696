"""Fixed functions of messages, such as a change of sign, for edits of a Response graph."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import torch
from torch import Tensor

from antiphon.grammars.typed import typed

F = TypeVar("F", bound=Callable[..., Any])  # Any: a function of messages, or a module that is one


class Linearity(StrEnum):
    """How a linear function f acts on a message; linear means f(a + b) = f(a) + f(b).

    EXAMPLES: f acts on each example of a batch separately. Replicas may apply it to their shares of a batch, and
    to the terms of a sum. NUMBERS: f multiplies all numbers of the message by one factor, which does not depend
    on the message. It may also be applied to any part of the message, such as the parameters of one layer.
    """

    EXAMPLES = "examples"
    NUMBERS = "numbers"


@typed
def linear(how: Linearity) -> Callable[[F], F]:
    """Return a decorator that declares that a function or module of messages is linear in these messages.

    how: EXAMPLES if it acts on each example of a batch separately, NUMBERS if it multiplies all numbers by one factor.
    Without this declaration, the function is computed on the whole message only. If replicas rely on the declaration,
    `antiphon.coordinator.plan.assignment.assign` tests it before the run.
    """

    def declare(target: F) -> F:
        declared: Any = target  # Any: any object that takes an attribute
        declared.linear = how
        return target

    return declare


def shows_nonfinite(target: F) -> F:
    """Declare that every NaN or infinity in a message makes a number of the result of `target` NaN or infinite.

    So the message itself need not be searched for them. True for products and quotients of each number.
    """
    declared: Any = target  # Any: any object that takes an attribute
    declared.shows_nonfinite = True
    return target


@shows_nonfinite
@linear(Linearity.NUMBERS)
@typed
def negate(message: Tensor) -> Tensor:
    """Return minus the message: the only edit of a generative adversarial network (essay, Grammar 3)."""
    return -message


@shows_nonfinite
@linear(Linearity.NUMBERS)
@typed
def scale(message: Tensor, factor: float) -> Tensor:
    """Return the message times `factor`."""
    return message * factor


@shows_nonfinite
@typed
def over_batch(message: Tensor, factor: float = 1.0) -> Tensor:
    """Return the message times `factor / batch`, where `batch` is the size of its first dimension.

    With factor 1, each row is then the contribution of one example to a mean over the batch.
    """
    return message * (factor / message.shape[0])


@linear(Linearity.EXAMPLES)
@typed
def fixed_matrix(message: Tensor, matrix: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
    """Return `message @ matrix` with a fixed matrix: (batch, n) times (n, m) -> (batch, m).

    shape: if given, the message is flattened to (batch, n) before, and the result becomes (batch, *shape).
    """
    if not shape:
        return torch.matmul(message, matrix)
    return torch.matmul(message.flatten(1), matrix).unflatten(1, shape)
