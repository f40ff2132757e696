"""A scan whose gradients are those of truncated backpropagation through time, with overlapping windows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor, nn

from antiphon.grammars.response import Product
from antiphon.grammars.scan import Carried, Scan, ScanInputs
from antiphon.grammars.truncation import Truncation


@final
class TruncatedScan(nn.Module):
    """Computes the same outputs as a scan. In the backward pass, errors flow back through a limited number of steps.

    The forward pass runs once, and records each piece of the sequence apart. Each window of the truncation is one
    backward pass over its pieces, so a backward pass takes `through` / `every` times as long as without truncation.
    """

    def __init__(self, scan: Scan, truncation: Truncation) -> None:
        super().__init__()
        self.scan, self.truncation = scan, truncation

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the scan for all steps, then its state after the last step."""
        if not torch.is_grad_enabled():
            return self.scan(*inputs)
        parameters = [each for each in self.scan.parameters() if each.requires_grad]
        return _Windows.apply(self.scan, self.truncation, len(inputs), *inputs, *parameters)  # pyright: ignore


def truncated_as(products: Iterable[Product], module: Any) -> Any:  # Any: a module
    """Return the module of a player's node, with truncated gradients if a product of the node truncates them."""
    truncation = next((each.truncation for each in products if each.truncation is not None), None)
    return module if truncation is None else TruncatedScan(module, truncation)


@dataclass(frozen=True)
class _Piece:
    """The steps first, ..., last - 1 of a scan, recorded by autograd together.

    before: the state before these steps. sequences: their inputs. outputs: their outputs. after: the state after them.
    """

    first: int
    last: int
    before: Carried
    sequences: Carried
    outputs: Carried
    after: Carried

    @property
    def leaves(self) -> Carried:
        """The state before the piece, then the sequences."""
        return self.before + self.sequences


class _Windows(torch.autograd.Function):
    """The autograd function of a truncated scan. It takes the inputs of the scan, and then the scan's parameters."""

    @staticmethod
    def forward(ctx: Any, scan: Scan, truncation: Truncation, count: int, *tensors: Tensor) -> Any:  # Any: torch's own
        given = scan.given(tensors[:count])
        ctx.set_materialize_grads(False)
        ctx.truncation, ctx.scan, ctx.parameters, ctx.inputs = truncation, scan, tensors[count:], tensors[:count]
        ctx.pieces = list(_recorded(scan, given, truncation))
        columns = zip(*(piece.outputs for piece in ctx.pieces), strict=True)
        outputs = [torch.cat([each.detach() for each in column], 1) for column in columns]
        return (*outputs, *(each.detach() for each in ctx.pieces[-1].after))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:  # Any: torch's own
        found = _Found(ctx.inputs, ctx.parameters, ctx.scan.sequences)
        steps = ctx.pieces[-1].last
        for begin, first, last in ctx.truncation.windows(steps):
            count = len(ctx.pieces[-1].outputs)
            carried = cotangents[count:] if last == steps else [None] * ctx.scan.carried
            for piece in reversed(ctx.pieces):
                if begin <= piece.first < last:
                    told = _told(cotangents[:count], piece) if piece.first >= first else [None] * count
                    carried = found.add(piece, [*told, *carried])
            if begin == 0:
                found.add_start(carried)
        return None, None, None, *found.inputs, *found.parameters


class _Found:
    """The gradients found so far, or None: `inputs` for each input of the scan, `parameters` for each parameter."""

    def __init__(self, inputs: Carried, parameters: Carried, sequences: int) -> None:
        self.inputs: list[Tensor | None] = [torch.zeros_like(each) if each.requires_grad else None for each in inputs]
        self.parameters: list[Tensor | None] = [None] * len(parameters)
        self._parameters, self._sequences = parameters, sequences

    def add(self, piece: _Piece, cotangents: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Add the gradients of one backward pass through a piece. Returns the gradient of the state before the piece.

        cotangents: of the outputs of the piece, then of the state after it.
        """
        pairs = zip((*piece.outputs, *piece.after), cotangents, strict=True)
        said = [(value, told) for value, told in pairs if told is not None and value.requires_grad]
        asked = [each for each in (*piece.leaves, *self._parameters) if each.requires_grad]
        if not said or not asked:
            return [None] * len(piece.after)
        values, messages = zip(*said, strict=True)
        gradients = torch.autograd.grad(values, asked, messages, retain_graph=True, allow_unused=True)
        known = {id(each): gradient for each, gradient in zip(asked, gradients, strict=True)}
        for index, leaf in enumerate(piece.sequences):
            whole, gradient = self.inputs[index], known.get(id(leaf))
            if whole is not None and gradient is not None:
                whole[:, piece.first : piece.last] += gradient
        for index, parameter in enumerate(self._parameters):
            self.parameters[index] = _sum(self.parameters[index], known.get(id(parameter)))
        return [known.get(id(each)) for each in piece.before] or [None] * len(piece.after)

    def add_start(self, carried: Sequence[Tensor | None]) -> None:
        """Add the gradient of the state at the start, if the state is an input of the scan."""
        for index, gradient in enumerate(carried, self._sequences):
            if gradient is not None:
                self.inputs[index] = _sum(self.inputs[index], gradient)


def _recorded(scan: Scan, given: ScanInputs, truncation: Truncation) -> Iterator[_Piece]:
    """Play the pieces of a scan in order, each recorded by autograd from leaves of its own."""
    cuts = sorted({cut for window in truncation.windows(given.steps) for cut in window})
    state = given.state
    for first, last in pairwise(cuts):
        part = given.between(first, last)
        # The state at the start is the cell's own if it is no input.
        before = () if state is None else tuple(map(_carried_leaf, state))
        # The slices were taken where autograd records nothing.
        pairs = zip(part.sequences, given.sequences, strict=True)
        sequences = tuple(each.detach().requires_grad_(whole.requires_grad) for each, whole in pairs)
        with torch.enable_grad():
            outputs, after = scan.play(replace(part, sequences=sequences, state=before or None))
        state = tuple(each.detach() for each in after)
        yield _Piece(first, last, before, sequences, tuple(outputs), after)


def _carried_leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_(value.is_floating_point() or value.is_complex())


def _told(cotangents: Sequence[Tensor | None], piece: _Piece) -> list[Tensor | None]:
    return [None if each is None else each[:, piece.first : piece.last] for each in cotangents]


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
