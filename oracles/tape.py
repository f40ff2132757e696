"""Tapes: a tape runs the forward pass of an operator, keeps the values that gradients need, and computes gradients.

`AutogradTape` does so for any operator, with autograd.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, final

import torch
from torch import Tensor

_backward = torch.autograd.Variable._execution_engine.run_backward
"""The function that `torch.autograd.backward` calls in the end. `backward` itself also imports sympy to compare shapes,
which the engine compares, too. That takes half a second at the first response, and a fifth of each small response."""

Products: TypeAlias = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""Two tuples: the gradients of the inputs that were asked for, and the gradients of the parameters."""


class Tape(Protocol):
    """The interface of a tape: it runs the forward pass of an operator, and computes vector-Jacobian products."""

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs of the operator, detached. Keep the values that `respond` needs."""
        ...

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradients of the inputs `toward`, and the gradients of the parameters.

        They are vector-Jacobian products at the last query. cotangents: gradient of each output, None for zero. toward:
        indices of the inputs whose gradient is asked. parameters: whether the gradients of the parameters are asked;
        else the second tuple is empty.
        """
        ...

    def forget(self) -> None:
        """Drop the values that the last query kept for `respond`."""
        ...


@final
class AutogradTape:
    """Computes the outputs of a function of torch operations, and its vector-Jacobian products with autograd.

    toward: indices of the inputs whose gradient may be asked. parameters: the parameters whose gradient may be asked.
    products: number of calls of `respond` after each query. hooks: the dicts of the backward hooks of the function's
    modules. While a dict is not empty, one backward pass computes the gradients of inputs and parameters together, so
    that each hook is called once. at_once: whether one backward pass always does so, because the calls ask for the
    parts of one product, and the function has several layers. A second pass would compute the gradients of all values
    between the layers again.
    """

    def __init__(
        self,
        function: Callable[..., Any],  # Any: a tensor or a tuple of them
        toward: Sequence[int],
        parameters: Sequence[Tensor],
        products: int,
        hooks: Sequence[Mapping[Any, Any]] = (),  # Any: as torch has them
        at_once: bool = False,
    ) -> None:
        self._function, self._toward, self._parameters = function, tuple(sorted(set(toward))), tuple(parameters)
        self._several, self._hooks, self._at_once = products > 1, hooks, at_once
        self.forget()

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs of the function, detached. Autograd records the call for `respond`."""
        self._told = None
        self._leaves, self._played = recorded(self._function, inputs, self._toward)
        return tuple(each.detach() for each in self._played)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradients of the inputs `toward`, and the gradients of the parameters.

        They are vector-Jacobian products at the last query. cotangents: gradient of each output, None for zero.
        parameters: whether the gradients of the parameters are asked; else the second tuple is empty. A gradient is
        zero if the outputs do not depend on the input or parameter.
        """
        if not self._several or not (self._at_once or any(self._hooks)):
            return self._pass(cotangents, toward, parameters)
        if self._told is None or any(one is not other for one, other in zip(cotangents, self._told, strict=True)):
            self._told, self._both = tuple(cotangents), self._pass(cotangents, self._toward, True)
        upstream = dict(zip(self._toward, self._both[0], strict=True))
        return tuple(upstream[index] for index in toward), self._both[1] if parameters else ()

    def forget(self) -> None:
        """Drop the recorded call, and the gradients that were computed from it."""
        self._played: tuple[Tensor, ...] | None = None
        self._leaves: dict[int, Tensor] = {}
        self._told: tuple[Tensor | None, ...] | None = None
        self._both: Products = (), ()

    def _pass(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        assert self._played is not None  # `Operator` checks it
        said = answered(self._played, cotangents)
        wanted = (*(self._leaves[index] for index in toward), *(self._parameters if parameters else ()))
        found = gradients(said, wanted, self._several)
        return found[: len(toward)], found[len(toward) :]


def recorded(
    function: Callable[..., Any],
    inputs: Sequence[Tensor],
    toward: Sequence[int],  # Any: a tensor or a tuple of them
) -> tuple[dict[int, Tensor], tuple[Tensor, ...]]:
    """Call `function` on the inputs while autograd records. Returns a dict and a tuple.

    The dict holds a detached copy, with requires_grad, of each input in `toward`, by its index. The function was called
    with these copies. The tuple holds the outputs.
    """
    leaves = {index: inputs[index].detach().requires_grad_() for index in toward}
    with torch.enable_grad():
        played = function(*[leaves.get(index, value) for index, value in enumerate(inputs)])
    return leaves, (played,) if isinstance(played, Tensor) else tuple(played)


def answered(played: Sequence[Tensor], cotangents: Sequence[Tensor | None]) -> list[tuple[Tensor, Tensor]]:
    """Return pairs (output, gradient of the output), of all outputs that require a gradient and have a cotangent.

    played: the outputs. cotangents: gradient of each output, None for zero.
    """
    pairs = zip(played, cotangents, strict=True)
    return [(output, told) for output, told in pairs if told is not None and output.requires_grad]


def gradients(said: Sequence[tuple[Tensor, Tensor]], wanted: Sequence[Tensor], keep: bool) -> tuple[Tensor, ...]:
    """Return the gradient of each leaf tensor in `wanted`, dense; zeros for a leaf on which no output depends.

    said: pairs of an output and its gradient. keep: whether to keep the autograd graph for another backward pass.
    The engine of `backward()` computes the gradients, not `autograd.grad`, so that hooks that run after accumulation
    are called too. The attribute `.grad` of each leaf is the same before and after the call.
    """
    held = [leaf.grad for leaf in wanted]
    try:
        for leaf in wanted:
            leaf.grad = None
        if said and wanted:
            outputs, messages = zip(*said, strict=True)
            _backward(outputs, messages, keep, False, wanted, allow_unreachable=True, accumulate_grad=True)
        return tuple(map(gradient_of, wanted))
    finally:
        for leaf, grad in zip(wanted, held, strict=True):
            leaf.grad = grad


def gradient_of(leaf: Tensor) -> Tensor:
    """Return `leaf.grad` as a dense tensor; zeros if it is None."""
    found = leaf.grad
    if found is None:
        return torch.zeros_like(leaf)
    return found if found.layout is torch.strided else found.to_dense()
