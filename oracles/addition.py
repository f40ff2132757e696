"""Hand-written vector-Jacobian product of `torch.add`, which joins a skip connection: the cotangent itself.

Autograd makes two copies of the cotangent, which take longer than the sum.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.oracles.tape import Products, Tape


@final
class AdditionTape:
    """Computes the sum of two tensors and its gradients, without autograd.

    recorded: computes both with autograd, if the shapes or dtypes of the inputs differ.
    """

    def __init__(self, recorded: Tape) -> None:
        self._recorded, self._alike = recorded, False

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return a tuple with the sum of the two inputs."""
        one, two = inputs
        self._alike = one.shape == two.shape and one.dtype == two.dtype
        return (torch.add(one, two),) if self._alike else self._recorded.query(inputs)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradients of the inputs `toward`, and an empty tuple, because there are no parameters.

        cotangents: the gradient of the sum. It is the gradient of each input, and is returned without a copy.
        """
        if not self._alike:
            return self._recorded.respond(cotangents, toward, parameters)
        (told,) = cotangents
        assert told is not None  # a product has at least one message
        return (told,) * len(toward), ()

    def forget(self) -> None:
        """Drop the values that autograd kept, if it was used."""
        self._recorded.forget()


def addition_of(function: Callable[..., Any], inputs: int, recorded: Tape) -> AdditionTape | None:
    """Return an object that computes `torch.add` and its gradients without autograd; None for any other function.

    inputs: the number of inputs; None is returned unless it is 2. recorded: computes sum and gradients with autograd.
    """
    return AdditionTape(recorded) if function is torch.add and inputs == 2 else None
