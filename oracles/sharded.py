"""What one query of a sharded module keeps for its response: its parameters are gathered for each pass and let go."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.oracles.tape import Products


@final
class ShardedTape:
    """A module whose parameters lie in parts on several workers (`torch.distributed.fsdp.fully_shard`).

    Query and response are collective: all who hold a part play them, each on rows of its own, in one order. The
    parameters' gradient is summed over them by the module's own hooks, and each gets the part that it holds.
    toward: the inputs whose gradient may be asked.
    """

    def __init__(
        self,
        module: Callable[..., Any],  # Any: a tensor or a tuple of them
        toward: Sequence[int],
        parameters: Sequence[Tensor],
    ) -> None:
        self._module, self._toward, self._parameters = module, frozenset(toward), tuple(parameters)
        self._leaves: dict[int, Tensor] = {}
        self._played: tuple[Tensor, ...] | None = None
        self._own: tuple[Tensor, ...] | None = None

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Recorded by torch, from leaves of its own."""
        self.forget()
        self._leaves = {index: inputs[index].detach().requires_grad_() for index in self._toward}
        with torch.enable_grad():
            played = self._module(*[self._leaves.get(index, value) for index, value in enumerate(inputs)])
        self._played = (played,) if isinstance(played, Tensor) else tuple(played)
        return tuple(each.detach() for each in self._played)

    @property
    def queried(self) -> bool:
        """Whether there is a record."""
        return self._played is not None

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Both outputs are computed at once, by the first who asks for either: its hooks do not divide them."""
        if self._own is None:
            self._own = self._backward(cotangents)
        upstream = tuple(_gradient(self._leaves[index]) for index in toward)
        return upstream, self._own if parameters else ()

    def forget(self) -> None:
        """Drop the record."""
        self._played, self._own, self._leaves = None, None, {}

    def _backward(self, cotangents: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        assert self._played is not None  # held by Operator
        pairs = zip(self._played, cotangents, strict=True)
        said = [(played, told) for played, told in pairs if told is not None and played.requires_grad]
        outputs, messages = [played for played, _ in said], [told for _, told in said]
        torch.autograd.backward(outputs, messages)
        own = tuple(_gradient(parameter) for parameter in self._parameters)
        for parameter in self._parameters:
            parameter.grad = None
        return own


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
