"""What one query keeps for its responses: torch's own record of it, for any operator."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, final

import torch
from torch import Tensor

Products: TypeAlias = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""The gradients of the inputs that were asked for, and of the parameters."""


class Tape(Protocol):
    """Queries an operator and multiplies cotangents with the Jacobian of that query, as often as was announced."""

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs, detached; what the responses need is kept."""
        ...

    @property
    def queried(self) -> bool:
        """Whether a query waits for a response."""
        ...

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """The vector-Jacobian products of the last query: toward these inputs, and the parameters if asked."""
        ...

    def forget(self) -> None:
        """Let go of the last query."""
        ...


@final
class AutogradTape:
    """Any operator of torch operations, by automatic differentiation of this one operator.

    toward: the inputs whose gradient may be asked. products: how many responses one query gets.
    """

    def __init__(
        self,
        function: Callable[..., Any],  # Any: a tensor or a tuple of them
        toward: Sequence[int],
        parameters: Sequence[Tensor],
        products: int,
    ) -> None:
        self._function, self._toward, self._parameters = function, frozenset(toward), tuple(parameters)
        self._keep = products > 1
        self._leaves: dict[int, Tensor] = {}
        self._played: tuple[Tensor, ...] | None = None

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Recorded by torch, from leaves of its own."""
        self._leaves = {index: inputs[index].detach().requires_grad_() for index in self._toward}
        with torch.enable_grad():
            played = self._function(*[self._leaves.get(index, value) for index, value in enumerate(inputs)])
        self._played = (played,) if isinstance(played, Tensor) else tuple(played)
        return tuple(each.detach() for each in self._played)

    @property
    def queried(self) -> bool:
        """Whether there is a record."""
        return self._played is not None

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Zeros where an output does not depend on what is asked; dense also where torch makes them sparse."""
        assert self._played is not None  # held by Operator
        pairs = zip(self._played, cotangents, strict=True)
        said = [(played, told) for played, told in pairs if told is not None and played.requires_grad]
        wanted = (*(self._leaves[index] for index in toward), *(self._parameters if parameters else ()))
        if not self._keep:
            self.forget()
        if not said:
            found = tuple(torch.zeros_like(each) for each in wanted)
        else:
            outputs, messages = zip(*said, strict=True)
            found = torch.autograd.grad(
                outputs, wanted, messages, retain_graph=self._keep, allow_unused=True, materialize_grads=True
            )
        own = tuple(each if each.layout is torch.strided else each.to_dense() for each in found[len(toward) :])
        return found[: len(toward)], own

    def forget(self) -> None:
        """Drop the record."""
        self._played, self._leaves = None, {}
