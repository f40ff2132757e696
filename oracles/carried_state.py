"""An oracle that keeps tensors from round to round, such as the state of a recurrent network."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType


@typed
def memory(
    *shapes: tuple[Count, ...], batch: Count, symbol: str = "batch", dtype: torch.dtype = torch.float32
) -> OracleDeclaration:
    """Declare an oracle that keeps tensors until a later round, and saves them in checkpoints.

    shapes: the shape of each tensor, without the batch. symbol: name of the batch size in the grammar.
    Questions: recall() -> the tensors that were kept last, (batch, *shape) each, zeros at first; keep(*tensors) -> how
    often tensors were kept, 0-d, int64. No gradient passes. Ask `recall` before `keep` to get the tensors of an earlier
    round. Raises OracleError if no shape is given.
    """
    if not shapes:
        raise OracleError("a memory was declared without a shape; expected one for each tensor. Pass at least one.")
    kept = tuple(EdgeType((Batch(symbol), *shape), dtype) for shape in shapes)
    questions = Question("recall", (), kept), Question("keep", kept, (EdgeType((), torch.int64),))
    factory = Factory.of(CarriedState, tuple((batch, *shape) for shape in shapes), dtype)
    return OracleDeclaration(factory, questions, ((symbol, batch),))


@final
class CarriedState:
    """The oracle that `memory` declares: it keeps tensors until a later round asks for them."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtype: torch.dtype, *, seed: int) -> None:
        self._kept = [torch.zeros(shape, dtype=dtype) for shape in shapes]
        self._times = 0

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return copies of the kept tensors for "recall". For "keep", keep copies of the inputs, and count them."""
        if question == "recall":
            return [each.clone() for each in self._kept]
        self._kept = [each.detach().clone() for each in inputs]
        self._times += 1
        return [torch.tensor(self._times)]

    def state(self) -> State:
        """Return copies of the kept tensors, and how often tensors were kept."""
        return {"kept": [each.clone() for each in self._kept], "times": self._times}

    def load(self, state: State) -> None:
        """Continue from a saved state. Raises OracleError if its tensors have other shapes."""
        own, saved = ([list(each.shape) for each in kept] for kept in (self._kept, state["kept"]))
        if own != saved:
            raise OracleError(
                f"a memory of tensors of shape {own} was to load {saved}; expected the same shapes. Resume with the "
                "experiment that was saved."
            )
        self._kept = [each.to(own.dtype, copy=True) for each, own in zip(state["kept"], self._kept, strict=True)]
        self._times = state["times"]

    def report(self) -> Mapping[str, float]:
        """Return an empty report."""
        return {}

    def close(self) -> None:
        """Do nothing: there are no resources to release."""
