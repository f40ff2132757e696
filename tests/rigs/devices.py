"""A simulated device, to test code for GPUs without a GPU.

Tensors on the simulated device report this device, but compute on the CPU. As with a GPU, an operation that mixes them
with tensors on the CPU raises an error. So a test finds tensors on the wrong device, and can compare the results with
those of the CPU.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

AWAY = torch.device("meta")
"""The name of the simulated device. torch knows "meta" everywhere, and computes no numbers for it."""

_MOVES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class _Distant(Tensor):
    """A tensor on the simulated device `AWAY`. under: the tensor on the CPU that has its numbers."""

    under: Tensor

    @staticmethod
    def __new__(cls: type["_Distant"], under: Tensor) -> "_Distant":
        made = Tensor._make_wrapper_subclass(
            cls, under.shape, under.stride(), under.storage_offset(), dtype=under.dtype, device=AWAY
        )
        made.under = under
        return made

    def data_ptr(self) -> int:
        """Return the address of the numbers on the CPU."""
        return self.under.data_ptr()

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"away({self.under!r})"

    @classmethod
    def __torch_dispatch__(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:  # Any: torch's own
        return _play(func, args, kwargs or {})


@final
class Away(TorchDispatchMode):
    """A torch mode (a context). Inside it, torch accepts the simulated device `AWAY`, which computes on the CPU.

    An operation on tensors of the CPU and of `AWAY` raises RuntimeError. As in torch, a CPU tensor without dimensions
    is allowed. Do not use `torch.tensor(data, device=AWAY)`: torch does not pass this call to a mode, and the result
    has no numbers. Use `torch.full`, or move a tensor to `AWAY`.

    >>> with Away():
    ...     there = torch.ones(2, device=AWAY)
    ...     float((there + there).sum())
    4.0
    """

    def __torch_dispatch__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:  # Any: torch's own
        return _play(func, args, kwargs or {})


def _play(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # Any: torch's own
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    distant = [each for each in tensors if isinstance(each, _Distant)]
    if distant and func not in _MOVES and any(each.dim() for each in tensors if not isinstance(each, _Distant)):
        raise RuntimeError(f"{func} met tensors here and away: {[(type(t).__name__, tuple(t.shape)) for t in tensors]}")
    if distant and func not in _MOVES and func._schema.is_mutable and not isinstance(args[0], _Distant):
        raise RuntimeError(f"{func} was to write numbers from away into a tensor here")
    target = kwargs.get("device")
    ends_away = bool(distant) if target is None else torch.device(target) == AWAY
    if func is torch.ops.aten.copy_.default:
        ends_away = isinstance(args[0], _Distant)
    here = {"device": torch.device("cpu")} if target is not None else {}
    wrappers = {id(each.under): each for each in distant}
    under_args, under_kwargs = tree_map(_unwrapped, (tuple(args), {**kwargs, **here}))
    played = func(*under_args, **under_kwargs)
    return tree_map(lambda each: _wrapped(each, wrappers), played) if ends_away else played


def _unwrapped(value: Any) -> Any:  # Any: arguments of any kind
    return value.under if isinstance(value, _Distant) else value


def _wrapped(value: Any, known: Mapping[int, _Distant]) -> Any:  # Any: as above
    if not isinstance(value, Tensor):
        return value
    return known[id(value)] if id(value) in known else _Distant(value)
