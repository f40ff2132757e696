"""Finds NaN and infinity in tensors at almost no cost, and replaces them by finite numbers."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from antiphon.errors import NonfiniteError
from antiphon.grammars.oracle import State

_WIDER = {
    torch.float16: torch.float32,
    torch.complex32: torch.complex64,
    torch.float8_e4m3fn: torch.float32,
    torch.float8_e4m3fnuz: torch.float32,
    torch.float8_e5m2: torch.float32,
    torch.float8_e5m2fnuz: torch.float32,
    torch.float8_e8m0fnu: torch.float32,
}
"""Dtypes whose sums overflow early, or that torch cannot add: each with a wider dtype that holds the same numbers."""

_ADDED_AS = {torch.float16: torch.float32}
"""Dtypes whose sums overflow early, each with the dtype in which its numbers are added."""
LARGE = 4096
"""A tensor with more elements is added by itself, not together with others."""


def may_be_wrong(dtype: torch.dtype) -> bool:
    """Whether numbers of this dtype can be NaN or infinite. Integers and bools cannot."""
    return dtype.is_floating_point or dtype.is_complex


def is_finite(value: Tensor) -> bool:
    """Whether no number of a tensor is NaN or infinite.

    One sum is enough if it is finite, because a sum is NaN or infinite if one of its terms is. If the sum is not
    finite, every number is tested, because the sum of large finite numbers may overflow.

    >>> is_finite(torch.full((4,), 3e38)), is_finite(torch.tensor([1.0, float("inf")]))
    (True, False)
    """
    total = _total(value)
    return total - total == 0 or not int(wrong(value).sum())


def all_finite(values: Sequence[Tensor], vectors: Sequence[Tensor] = ()) -> bool:
    """Whether no number of many tensors is NaN or infinite.

    Large tensors are added one by one. Small tensors are joined first, because most of the time of a sum is its call.
    Of the joined numbers, the sum of squares is the fastest sum. If a sum is not finite, each tensor is looked at.
    vectors: further small tensors, with one dimension each.

    >>> all_finite([torch.ones(2), torch.ones(3, 3)]), all_finite([torch.ones(2), torch.tensor(torch.nan)])
    (True, False)
    """
    small, total = [*vectors], 0.0
    try:
        for each in values:
            if each.numel() > LARGE:
                total += sum_of(each)
            else:
                small.append(each.reshape(-1))
        if small:
            joined = torch.cat(small) if len(small) > 1 else small[0]
            squares = joined.dot(joined)
            total += squares.item() if squares.is_cpu else squares
    except (RuntimeError, NotImplementedError):  # a dtype or a layout of which torch makes no such sum
        total = torch.nan
    return bool(total - total == 0) or all(map(is_finite, (*values, *vectors)))


def sum_of(value: Tensor) -> float | Tensor:
    """Return the sum of a tensor as a number; on a GPU as a tensor, so that the host does not wait for it."""
    total = value.sum(dtype=_ADDED_AS.get(value.dtype))
    return total.item() if value.is_cpu else total


def has_no_nan(value: Tensor) -> bool:
    """Whether no number of a tensor is NaN. Infinities are allowed: a mask may hold -inf.

    >>> has_no_nan(torch.tensor([-torch.inf, torch.inf])), has_no_nan(torch.tensor([torch.nan]))
    (True, False)
    """
    total = _total(value)
    return total == total or not int(wrong(value, infinity=False).sum())


def wrong(value: Tensor, infinity: bool = True) -> Tensor:
    """Return a bool tensor that tells which numbers of `value` are NaN or, if `infinity` is true, infinite."""
    value = value.to_dense() if value.layout is not torch.strided else value
    value = value.to(_WIDER.get(value.dtype, value.dtype))
    return ~value.isfinite() if infinity else value.isnan()


def clipped(value: Tensor, infinity: bool = True) -> Tensor:
    """Return a copy of a tensor in which 0 replaces NaN, and the nearest finite number replaces infinity.

    infinity: whether infinity is replaced, too.

    >>> clipped(torch.tensor([torch.nan, -torch.inf, 2.0])).tolist() == [0.0, torch.finfo(torch.float32).min, 2.0]
    True
    """
    largest = torch.finfo(value.dtype).max if infinity else torch.inf
    return torch.nan_to_num(value.to(_WIDER.get(value.dtype, value.dtype)), 0.0, largest, -largest).to(value.dtype)


def _total(value: Tensor) -> float | complex:
    if value.numel() == 1:
        return value.item()
    wider = _WIDER.get(value.dtype)
    return (value.sum() if wider is None else value.to(wider).sum()).item()


def refuse_nan(states: Mapping[str, State], source: str) -> None:
    """Raise NonfiniteError if a parameter in saved states is NaN. The message names the parameter, its owner, `source`.

    states: the states of players, clones and oracles, by name. source: from where the states come, such as a folder.
    Infinity is allowed, because a module may hold a mask of -inf.
    """
    for owner, state in states.items():
        for name, value in state.get("parameters", {}).items():
            if may_be_wrong(value.dtype) and not has_no_nan(value):
                raise NonfiniteError(
                    f"{source}: parameter {name!r} of {owner!r} holds NaN in {int(wrong(value, False).sum())} of "
                    f"{value.numel()} numbers; expected none. Load an older checkpoint."
                )
