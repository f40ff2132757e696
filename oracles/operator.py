"""A node of Q as a gray box: asked for its value, then for vector-Jacobian products of that value."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.errors import ProtocolError, ShapeError
from antiphon.grammars.seeds import at_round

ALIGNMENT = 64
"""Bytes. Vectorised kernels may sum in another order on other alignments, so every edge has this one."""


def aligned(value: Tensor) -> Tensor:
    """The value itself if it is contiguous and 64-byte aligned, else a copy that is: equal bits in every executor."""
    if value.is_contiguous() and value.data_ptr() % ALIGNMENT == 0:
        return value
    return value.clone(memory_format=torch.contiguous_format)


@final
class Operator:
    """One operator on its worker, holding what it needs of its last query until the response.

    who: its name in errors. outputs: (shape, dtype) of each output. toward: the inputs whose gradient may be asked.
    parameters: the player's, empty where nobody asks for theirs. seed: of the node's random stream; each round draws
    from a fork of it. products: how many responses will be asked of one query.
    """

    def __init__(
        self,
        who: str,
        function: Callable[..., Any],  # Any: a tensor or a tuple of them
        outputs: Sequence[tuple[tuple[int, ...], torch.dtype]],
        toward: Sequence[int] = (),
        parameters: Sequence[Tensor] = (),
        seed: int = 0,
        products: int = 1,
    ) -> None:
        self.who, self._function, self._outputs, self._seed = who, function, tuple(outputs), seed
        self._toward, self._parameters = frozenset(toward), tuple(parameters)
        self._differentiable = bool(self._toward or self._parameters)
        self._keep = products > 1
        self._leaves: dict[int, Tensor] = {}
        self._played: tuple[Tensor, ...] | None = None

    def query(self, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        """The outputs, detached and aligned. The inputs are read only.

        Raises ShapeError when an output is not as declared, ProtocolError when the operator wrote into an input.
        """
        torch.default_generator.manual_seed(at_round(self._seed, round))
        if not self._differentiable:
            with torch.no_grad():
                return self._checked(self._call(inputs))
        self._leaves = {index: inputs[index].detach().requires_grad_() for index in self._toward}
        with torch.enable_grad():
            played = self._call([self._leaves.get(index, value) for index, value in enumerate(inputs)])
        self._played = played
        return self._checked(tuple(each.detach() for each in played))

    def respond(
        self, cotangents: Sequence[Tensor | None], toward: Sequence[int] = (), parameters: bool = True
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Vector-Jacobian product at the last query (essay, section 2, operator `*`).

        cotangents: one per output, None for zero. Returns the gradients of the inputs `toward`, in that order, and of
        the parameters, in theirs; zeros where the output does not depend on one.
        Raises ProtocolError if no query of this round came before, or more responses are asked than were announced.
        """
        if self._played is None:
            raise ProtocolError(
                f"{self.who} was asked to respond without a query in this round; expected the query phase first. "
                "Order the schedule so that this node is queried before."
            )
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
        return tuple(map(aligned, found[: len(toward)])), found[len(toward) :]

    def forget(self) -> None:
        """Let go of the last query: what it kept for a response."""
        self._played, self._leaves = None, {}

    def _call(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        versions = [value._version for value in inputs]
        played = self._function(*inputs)
        if versions != [value._version for value in inputs]:
            raise ProtocolError(
                f"{self.who} changed one of its inputs in place; expected it to leave them alone, because others read "
                "them too. Use the operation that is not in place (ReLU() instead of ReLU(inplace=True))."
            )
        return (played,) if isinstance(played, Tensor) else tuple(played)

    def _checked(self, played: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        found = [(tuple(value.shape), value.dtype) for value in played]
        if found != list(self._outputs):
            raise ShapeError(
                f"{self.who} played {found}; expected {list(self._outputs)}, as it was typed. "
                "Make its output shapes depend on its input shapes only."
            )
        return tuple(map(aligned, played))
