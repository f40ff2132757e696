"""Names, shapes and dtypes of a player's parameters: what responses and moves are held to."""

from collections.abc import Iterable, Sequence
from typing import final

from torch import Tensor

from antiphon.errors import ShapeError
from antiphon.grammars.types import EdgeType


@final
class Layout:
    """One type per parameter of a player, in order.

    player: whom errors name. named: pairs of a parameter's name and the parameter.
    """

    def __init__(self, player: str, named: Iterable[tuple[str, Tensor]]) -> None:
        self.player = player
        named = tuple(named)
        self._expected = tuple((name, parameter.shape, parameter.dtype) for name, parameter in named)
        self._sizes = [parameter.numel() for _, parameter in named]

    def response(self, response: Sequence[Tensor] | Tensor) -> Sequence[Tensor]:
        """The response with one tensor per parameter; a flat vector is split into views, without a copy.

        Raises ShapeError naming the player, the parameter, and both types.
        """
        tensors = self._split(response) if isinstance(response, Tensor) else response
        found = self.mismatch(tensors)
        if found is not None:
            raise self._refusal(*found)
        return tensors

    def mismatch(self, tensors: object) -> tuple[str, str] | None:
        """What was expected and what arrived instead, in words; None when the tensors fit."""
        if not isinstance(tensors, Sequence):
            return f"a sequence of {len(self._expected)} tensors", type(tensors).__name__
        if len(tensors) != len(self._expected):
            return f"{len(self._expected)} tensors", str(len(tensors))
        for tensor, (name, shape, dtype) in zip(tensors, self._expected, strict=True):
            if not isinstance(tensor, Tensor) or tensor.shape != shape or tensor.dtype != dtype:
                return f"{EdgeType(tuple(shape), dtype)} for parameter {name!r}", _type_of(tensor)
        return None

    def wild(self, tensors: Sequence[Tensor]) -> str | None:
        """The name of the first parameter that is NaN or infinite anywhere in `tensors`, which fit; None if none is."""
        named = zip(tensors, self._expected, strict=True)
        return next((name for tensor, (name, _, _) in named if not tensor.isfinite().all()), None)

    def _split(self, flat: Tensor) -> Sequence[Tensor]:
        if flat.ndim != 1 or flat.numel() != sum(self._sizes):
            raise self._refusal(f"a flat vector of {sum(self._sizes)} elements", _type_of(flat))
        pieces = flat.split(self._sizes)
        return [piece.view(shape) for piece, (_, shape, _) in zip(pieces, self._expected, strict=True)]

    def _refusal(self, expected: str, arrived: str) -> ShapeError:
        return ShapeError(
            f"player {self.player!r} expected {expected}, and {arrived} arrived. "
            f"Send one tensor per parameter, in order, or one flat vector of {sum(self._sizes)} elements."
        )


def _type_of(value: object) -> str:
    return repr(EdgeType(tuple(value.shape), value.dtype)) if isinstance(value, Tensor) else type(value).__name__
