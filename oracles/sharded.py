"""Queries a sharded module and computes its gradients. Its parameters are gathered for each pass and then freed."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.oracles.tape import Products, answered, gradient_of, recorded


@final
class ShardedTape:
    """Queries a module that is sharded over several workers (torch's `fully_shard`), and computes its gradients.

    `query` and `respond` are collective: all workers with a shard call them in the same order, each on its own rows of
    the batch. The hooks of the module sum the gradient over the workers, and each worker gets the gradient of its
    shard.
    toward: the inputs whose gradient may be asked.
    """

    def __init__(
        self,
        module: Callable[..., Any],  # Any: a tensor or a tuple of them
        toward: Sequence[int],
        parameters: Sequence[Tensor],
    ) -> None:
        self._module, self._toward, self._parameters = module, tuple(sorted(set(toward))), tuple(parameters)
        self._leaves: dict[int, Tensor] = {}
        self._played: tuple[Tensor, ...] | None = None
        self._own: tuple[Tensor, ...] | None = None

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Call the module, and return its outputs, detached. Autograd records the call for `respond`."""
        self.forget()
        self._leaves, self._played = recorded(self._module, inputs, self._toward)
        return tuple(each.detach() for each in self._played)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradients of the inputs `toward`, and the gradients of the parameters.

        They are the gradients of the last query. cotangents: gradient of each output, None for zero. toward: indices of
        inputs. parameters: whether the gradients of the parameters are asked; else the second tuple is empty. The first
        call after a query computes all gradients in one backward pass, as the hooks of the module need it.
        """
        if self._own is None:
            self._own = self._backward(cotangents)
        upstream = tuple(gradient_of(self._leaves[index]) for index in toward)
        return upstream, self._own if parameters else ()

    def forget(self) -> None:
        """Drop the recorded query and its gradients."""
        self._played, self._own, self._leaves = None, None, {}

    def _backward(self, cotangents: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        assert self._played is not None  # `Operator` checks it
        said = answered(self._played, cotangents)
        torch.autograd.backward([output for output, _ in said], [told for _, told in said])
        own = tuple(map(gradient_of, self._parameters))
        for parameter in self._parameters:
            parameter.grad = None
        return own
