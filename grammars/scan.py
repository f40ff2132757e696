"""Scan: a module that applies one cell to every step of a sequence, and carries a state from step to step.

In the Query graph, a scan is one node: the T-fold composition of the cell with itself. Its vector-Jacobian product is
backpropagation through time. The values on its edges are whole sequences, so a round has as many messages for 200 steps
as for one, and neither the graphs nor the schedule grow with the number of steps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn

from antiphon.errors import ShapeError
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import make_operator
from antiphon.grammars.numbers import Count
from antiphon.grammars.torch_cells import whole_sequence
from antiphon.grammars.truncation import Truncation
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType

Carried: TypeAlias = tuple[Tensor, ...]
"""The tensors of the state that a scan carries from one step to the next."""


@typed
def scan(
    cell: Callable[..., Any] | Factory,
    *arguments: Any,
    sequences: Count = 1,
    carried: Count = 1,
    masked: bool = False,
    **keywords: Any,
) -> Factory:
    """Return the factory of a module that applies `cell` to every step of its inputs (see `Scan`).

    cell: a module class with its arguments, such as `nn.LSTMCell, 8, 16`, or a function. sequences: number of inputs of
    the cell at each step. carried: number of tensors of its state, 2 for `nn.LSTMCell`. masked: whether a mask says
    which steps each example has.

    >>> from antiphon.grammars import QueryDraft
    >>> from antiphon.envs import arrays
    >>> q = QueryDraft()
    >>> x = q.oracle("Nature", arrays(torch.rand(8, 200, 3), batch=4))()  # 200 steps
    >>> q.player("Memory", scan(nn.LSTMCell, 3, 5, carried=2))(x)
    (Memory: float32[batch, 200, 5], Memory.1: float32[batch, 5], Memory.2: float32[batch, 5])
    """
    given = {"sequences": sequences, "carried": carried, "masked": masked}
    usual = {"sequences": 1, "carried": 1, "masked": False}
    changed = {name: value for name, value in given.items() if value != usual[name]}
    return Factory.of(Scan, Factory.of(cell, *arguments, **keywords), **changed)


@final
class Scan(nn.Module):
    """Applies a cell to every step of its inputs, in order, and carries a state from step to step.

    The cell is called like torch's recurrent cells: `cell(x, state)`, where the state is one tensor, or a tuple if
    `carried` is larger than 1. Without a state at the start, the first call is `cell(x)`. The cell returns the new
    state; it may return outputs before the state. Without outputs, the first tensor of the state is the output.

    Inputs, in this order: `sequences` tensors, (batch, steps, ...); the tensors of the state at the start, or none; if
    `masked`, a mask, (batch, steps), bool. Where the mask is False, the state stays as it was, and the outputs are
    zero. Outputs: those of the cell, (batch, steps, ...), then the tensors of the state after the last step.
    """

    is_scan = True
    """Read by `cell_of`, which knows a scan without importing this module."""

    def __init__(self, cell: Factory, sequences: int = 1, carried: int = 1, masked: bool = False) -> None:
        super().__init__()
        self.cell = make_operator(cell)
        self.sequences, self.carried, self.masked, self.named = sequences, carried, masked, repr(cell)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of all steps, then the state after the last step.

        Raises ShapeError for inputs that do not fit together, and for a cell that changes the form of its state.
        """
        outputs, state = self.play(self.given(inputs))
        return (*outputs, *state)

    def outlined(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return tensors with the shapes and dtypes of the outputs, computed from the first two steps only.

        `infer` calls it, so the time to declare a scan does not grow with the number of steps. Raises what `forward`
        raises.
        """
        given = self.given(inputs)
        outputs, state = self.play(given.between(0, 2))
        return (*(each[:, :1].expand(-1, given.steps, *each.shape[2:]) for each in outputs), *state)

    def held(self, truncation: Truncation, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what `forward` returns, with gradients of truncated backpropagation through time.

        The steps of each window are computed again, from a state that is held fixed (`detach`). This is slow, but
        simple: it is the reference for the faster computation of a run. The cell must draw no random numbers.
        """
        given, parts, state = self.given(inputs), list[Sequence[Tensor]](), None
        for begin, first, last in truncation.windows(given.steps):
            start = given.state
            if begin > 0:
                _, before = self.play(given.between(0, begin))
                start = tuple(each.detach() for each in before)
            played, state = self.play(replace(given.between(begin, last), state=start))
            parts.append([each[:, first - begin :] for each in played])
        assert state is not None  # there is at least one window
        return (*(torch.cat(column, 1) for column in zip(*parts, strict=True)), *state)

    def given(self, inputs: Sequence[Tensor]) -> "ScanInputs":
        """Divide the inputs into sequences, state and mask. Raises ShapeError if they do not fit together."""
        without = self.sequences + self.masked
        if len(inputs) not in (without, without + self.carried):
            raise ShapeError(
                f"a scan of {self.named} was given {len(inputs)} inputs; expected {self._expected()}. Pass these, or "
                "change `sequences`, `carried` or `masked`."
            )
        state = tuple(inputs[self.sequences : self.sequences + self.carried]) if len(inputs) > without else None
        found = ScanInputs(tuple(inputs[: self.sequences]), state, inputs[-1] if self.masked else None)
        self._refuse_misfits(found)
        return found

    def play(self, given: "ScanInputs") -> tuple[list[Tensor], Carried]:
        """Apply the cell to all steps. Returns the outputs of all steps, and the state after the last step."""
        if given.mask is None and self.sequences == 1:
            whole = whole_sequence(self.cell, given.sequences[0], given.state)
            if whole is not None and len(whole[1]) == self.carried:
                return [whole[0]], whole[1]
        state, rows, count = given.state, list[Carried](), self.carried
        cell = self.cell  # torch looks up the parts of a module slowly
        for number, (inputs, live) in enumerate(given.each_step()):
            carried = () if state is None else state if count == 1 else (state,)
            row = _flat(cell(*inputs, *carried))
            if number < 2:
                self._refuse_other_state(state, row)
            row = row if live is None else self._masked(row, state, live)
            rows.append(row)
            state = row[-count:]
        assert state is not None  # there is at least one step
        outputs = range(max(1, len(rows[0]) - count))
        return [torch.stack([row[index] for row in rows], 1) for index in outputs], state

    def _masked(self, row: Carried, state: Carried | None, live: Tensor) -> Carried:
        """Return the outputs and the state of a step: zeros and the old state, where `live`, (batch,), is false."""
        outputs, after = row[: -self.carried] or row[:1], row[-self.carried :]
        before = tuple(map(torch.zeros_like, after)) if state is None else state
        kept = (torch.where(_beside(live, new), new, old) for new, old in zip(after, before, strict=True))
        return (*(each.masked_fill(_beside(~live, each), 0) for each in outputs), *kept)

    def _expected(self) -> str:
        parts = [f"{self.sequences} sequence{'s' * (self.sequences > 1)}"]
        parts += [f"0 or {self.carried} tensors of a state at the start"]
        return ", ".join(parts + ["a mask"] * self.masked)

    def _refuse_misfits(self, given: "ScanInputs") -> None:
        leading = [tuple(each.shape[:2]) for each in given.sequences]
        if len(leading[0]) < 2 or len(set(leading)) > 1:
            raise ShapeError(
                f"a scan of {self.named} was given sequences of shape "
                f"{', '.join(str(tuple(each.shape)) for each in given.sequences)}; expected (batch, steps, ...), with "
                "equal batch and steps. Put the steps into the second dimension."
            )
        if given.steps == 0:
            raise ShapeError(
                f"a scan of {self.named} was given a sequence of zero steps; expected one step or more. Give longer "
                "sequences; a mask leaves out the steps that an example does not have."
            )
        mask = given.mask
        if mask is not None and (tuple(mask.shape) != leading[0] or mask.dtype is not torch.bool):
            raise ShapeError(
                f"a scan of {self.named} over {leading[0][1]} steps was given a mask {_form(mask)}; expected "
                f"bool{list(leading[0])}, one truth value for each example and step. Make the mask as long as the "
                "sequences."
            )

    def _refuse_other_state(self, before: Carried | None, played: Sequence[object]) -> None:
        tensors = [each for each in played if isinstance(each, Tensor)]
        after = tensors[-self.carried :]
        if len(tensors) < len(played) or len(after) < self.carried:
            raise ShapeError(
                f"a scan of {self.named} got {len(tensors)} tensors and {len(played) - len(tensors)} other objects "
                f"from a step; expected tensors only, the last {self.carried} of them the new state. Return these, or "
                "change `carried`."
            )
        if before is not None and _forms(before) != _forms(after):
            raise ShapeError(
                f"a scan of {self.named} carries the state {', '.join(map(_form, before))} into a step, and "
                f"{', '.join(map(_form, after))} out of it; expected the same shapes and dtypes, because the next step "
                "takes them. Return the new state in the form of the old one, after the outputs."
            )


@final
@dataclass(frozen=True)
class ScanInputs:
    """The inputs of a scan. sequences: (batch, steps, ...) each. state: before the first step, or None for the cell's
    own. mask: (batch, steps), bool, or None.
    """

    sequences: tuple[Tensor, ...]
    state: Carried | None
    mask: Tensor | None

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.sequences[0].shape[1]

    def between(self, first: int, last: int) -> "ScanInputs":
        """Return the inputs of the steps first, ..., last - 1. The state stays the same."""
        mask = None if self.mask is None else self.mask[:, first:last]
        return ScanInputs(tuple(each[:, first:last] for each in self.sequences), self.state, mask)

    def each_step(self) -> Iterator[tuple[Carried, Tensor | None]]:
        """Yield, for each step, the inputs of the cell, (batch, ...), and the mask, (batch,), or None."""
        columns = zip(*(each.unbind(1) for each in self.sequences), strict=True)
        masks = [None] * self.steps if self.mask is None else self.mask.unbind(1)
        return zip(columns, masks, strict=True)


def _flat(played: Any) -> tuple[Any, ...]:  # Any: what a cell returns
    """Return all tensors in the nested tuples and lists that a cell returns, in order."""
    if isinstance(played, tuple | list):
        return tuple(each for part in played for each in _flat(part))
    return (played,)


def _beside(live: Tensor, value: Tensor) -> Tensor:
    return live.view(-1, *[1] * (value.dim() - 1))


def _forms(values: Sequence[Tensor]) -> list[tuple[torch.Size, torch.dtype]]:
    return [(each.shape, each.dtype) for each in values]


def _form(value: Tensor) -> str:
    return repr(EdgeType(tuple(value.shape), value.dtype))
