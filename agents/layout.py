"""Names, shapes and dtypes of the parameters of a player, to check responses and moves."""

from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.agents.shards import is_sharded
from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.finite import clipped, is_finite, wrong
from antiphon.grammars.types import EdgeType


def laid_out(value: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Return `value` itself if it is dense and has the strides `strides`, else a dense copy with these strides.

    The fused kernels of torch ignore strides: they read parameter, gradient and optimizer state in memory order.
    `Tensor.backward` gives gradients the strides of the parameter; `torch.autograd.grad` and `split` do not.
    """
    if value.layout is not torch.strided:
        value = value.to_dense()
    if value.stride() == strides:
        return value
    return value.new_empty_strided(value.shape, strides).copy_(value)


def strides_of_gradient(parameter: Tensor) -> tuple[int, ...]:
    """Return the strides that `Tensor.backward` gives the gradient (torch's gradient layout contract).

    >>> strides_of_gradient(torch.zeros(2, 3).t()), strides_of_gradient(torch.zeros(2, 6)[:, ::2])
    ((1, 3), (3, 1))
    """
    if is_dense(parameter):
        return parameter.stride()
    return torch.empty(parameter.shape, device="meta").stride()


def is_dense(parameter: Tensor) -> bool:
    """Whether the elements of a parameter fill its memory without gaps or overlaps; fused kernels need this.

    >>> is_dense(torch.zeros(2, 3).t()), is_dense(torch.zeros(2, 6)[:, ::2]), is_dense(torch.zeros(3, 1).expand(3, 2))
    (True, False, False)
    """
    return torch.empty_like(parameter, device="meta").stride() == parameter.stride()


@final
class Layout:
    """The name, shape and dtype of each parameter of a player, in order.

    player: its name in errors. named: pairs of the name of a parameter and the parameter.
    Raises GrammarError for parameters that share memory, because a change of one would change another.
    """

    def __init__(self, player: str, named: Iterable[tuple[str, Tensor]]) -> None:
        self.player = player
        named = tuple(named)
        _refuse_shared_memory(player, named)
        self._expected = tuple((name, parameter.shape, parameter.dtype) for name, parameter in named)
        self._sizes = [parameter.numel() for _, parameter in named]
        whole = (each for each in named if not is_sharded(each[1]))
        self._infinite = {name: value.detach().isinf() for name, value in whole if not is_finite(value.detach())}

    def response(self, response: Sequence[Tensor] | Tensor) -> Sequence[Tensor]:
        """Return the response of a player (its gradient) as one tensor per parameter. A flat vector is split into
        views, without a copy.

        Raises ShapeError if the response does not fit; it names the player, the parameter, and the expected and actual
        type.
        """
        tensors = self._split(response) if isinstance(response, Tensor) else response
        found = self.mismatch(tensors)
        if found is not None:
            raise self._refusal(*found)
        return tensors

    def mismatch(self, tensors: object) -> tuple[str, str] | None:
        """Compare tensors with the parameters in number, order, shape and dtype. Return None if they fit.

        Otherwise return two texts: what was expected, and what arrived.
        """
        if not isinstance(tensors, tuple | list | Sequence):  # the first two are found faster
            return f"a sequence of {len(self._expected)} tensors", type(tensors).__name__
        if len(tensors) != len(self._expected):
            return f"{len(self._expected)} tensors", str(len(tensors))
        for tensor, (name, shape, dtype) in zip(tensors, self._expected, strict=True):
            if not isinstance(tensor, Tensor) or tensor.shape != shape or tensor.dtype != dtype:
                return f"{EdgeType(tuple(shape), dtype)} for parameter {name!r}", _type_of(tensor)
        return None

    def not_finite(self, tensors: Sequence[Tensor]) -> str | None:
        """Return the name of the first parameter with NaN or infinity in `tensors`; None if there is none.

        Elements that were not finite at the start, such as a mask of -inf, do not count. The tensors must fit.
        """
        for tensor, (name, _, _) in zip(tensors, self._expected, strict=True):
            if not is_finite(tensor) and (name not in self._infinite or (wrong(tensor) & ~self._infinite[name]).any()):
                return name
        return None

    def clip(self, tensors: Sequence[Tensor]) -> None:
        """Replace NaN by 0 and infinity by the nearest finite number, in place.

        A number that was infinite when the player was made, such as a mask, stays.
        """
        for tensor, (name, _, _) in zip(tensors, self._expected, strict=True):
            if not is_finite(tensor):
                at_first = self._infinite.get(name)
                finite = clipped(tensor)
                tensor.copy_(finite if at_first is None else torch.where(at_first, tensor, finite))

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


def _refuse_shared_memory(player: str, named: Sequence[tuple[str, Tensor]]) -> None:
    by_memory: dict[object, list[tuple[str, Tensor]]] = {}
    for name, parameter in named:
        if not is_sharded(parameter) and parameter.numel() and parameter.device.type != "meta":
            memory = parameter.untyped_storage()._cdata, parameter.dtype
            by_memory.setdefault(memory, []).append((name, parameter))
    for group in by_memory.values():
        if (len(group) > 1 or not is_dense(group[0][1])) and _overlap([parameter for _, parameter in group]):
            names = " and ".join(repr(name) for name, _ in group)
            raise GrammarError(
                f"player {player!r} has the parameter {names} with elements that share memory; expected memory of its "
                "own for each element. Make it of a clone (nn.Parameter(x.expand(n, m).clone())), or learn the smaller "
                "tensor and expand it in forward."
            )


def _overlap(tensors: Sequence[Tensor]) -> bool:
    """Whether two of `tensors`, which are views of one storage, share an element. Exact, but slow for many tensors."""
    size = max(each.untyped_storage().nbytes() // each.element_size() for each in tensors)
    places = torch.arange(size)
    found = [places.as_strided(each.shape, each.stride(), each.storage_offset()).reshape(-1) for each in tensors]
    return torch.cat(found).unique().numel() < sum(map(len, found))
