"""What one query keeps for its responses: torch's own record of it, for any operator."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, final

import torch
from torch import Tensor

_backward = torch.autograd.Variable._execution_engine.run_backward
"""What `torch.autograd.backward` calls at last. Before, that one imports sympy to compare shapes, which the engine
compares too: half a second at the first response, and a fifth of every small one."""

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

    toward: the inputs whose gradient may be asked. products: how many responses one query gets. hooks: the tables of
    the backward hooks of its modules; while one is filled, the two parts of a response come from one pass, so that
    each hook is called once.
    """

    def __init__(
        self,
        function: Callable[..., Any],  # Any: a tensor or a tuple of them
        toward: Sequence[int],
        parameters: Sequence[Tensor],
        products: int,
        hooks: Sequence[Mapping[Any, Any]] = (),  # Any: as torch has them
    ) -> None:
        self._function, self._toward, self._parameters = function, tuple(sorted(set(toward))), tuple(parameters)
        self._keep, self._hooks = products > 1, hooks
        self.forget()

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Recorded by torch, from leaves of its own."""
        self._told = None
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
        """Zeros where an output does not depend on what is asked."""
        if not self._keep:
            found = self._pass(cotangents, toward, parameters)
            self.forget()
            return found
        if not any(self._hooks):
            return self._pass(cotangents, toward, parameters)
        if self._told is None or any(one is not other for one, other in zip(cotangents, self._told, strict=True)):
            self._told, self._both = tuple(cotangents), self._pass(cotangents, self._toward, True)
        upstream = dict(zip(self._toward, self._both[0], strict=True))
        return tuple(upstream[index] for index in toward), self._both[1] if parameters else ()

    def forget(self) -> None:
        """Drop the record."""
        self._played: tuple[Tensor, ...] | None = None
        self._leaves: dict[int, Tensor] = {}
        self._told: tuple[Tensor | None, ...] | None = None
        self._both: Products = (), ()

    def _pass(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        assert self._played is not None  # held by Operator
        pairs = zip(self._played, cotangents, strict=True)
        said = [(played, told) for played, told in pairs if told is not None and played.requires_grad]
        wanted = (*(self._leaves[index] for index in toward), *(self._parameters if parameters else ()))
        found = gradients(said, wanted, self._keep)
        return found[: len(toward)], found[len(toward) :]


def gradients(said: Sequence[tuple[Tensor, Tensor]], wanted: Sequence[Tensor], keep: bool) -> tuple[Tensor, ...]:
    """What `.grad` of each leaf would be after `backward()`, dense; zeros where torch leaves none.

    By what `backward()` calls, not `autograd.grad`: hooks that torch calls after a gradient is added up count too. What
    `.grad` holds already is as before afterwards.
    said: pairs of an output and the message that it is told. keep: the record, for another response.
    """
    held = [leaf.grad for leaf in wanted]
    try:
        for leaf in wanted:
            leaf.grad = None
        if said and wanted:
            outputs, messages = zip(*said, strict=True)
            _backward(outputs, messages, keep, False, wanted, allow_unreachable=True, accumulate_grad=True)
        return tuple(map(_gradient, wanted))
    finally:
        for leaf, grad in zip(wanted, held, strict=True):
            leaf.grad = grad


def _gradient(leaf: Tensor) -> Tensor:
    found = leaf.grad
    if found is None:
        return torch.zeros_like(leaf)
    return found if found.layout is torch.strided else found.to_dense()
