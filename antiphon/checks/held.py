"""Record what a function of tensors holds constant (detach, no_grad), so that differences hold it constant too."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CUTS = {torch.detach, Tensor.detach, Tensor.data.__get__, torch.autograd.grad}  # type: ignore[attr-defined]
_APPLY = torch.autograd.Function.apply.__func__.__code__  # type: ignore[attr-defined]
_SWITCH = torch._C._set_grad_enabled  # pyright: ignore[reportPrivateUsage] - no_grad calls it, which a mode can observe


@final
class Held(TorchFunctionMode):
    """While it is entered, values that torch treats as constants are recorded, or replayed in order from a record.

    Differences and torch give the same derivative only if both hold the same values constant. A cut inside the forward
    of a `torch.autograd.Function` is not recorded: its backward should be the derivative nevertheless.

    kept: the record to replay; None to record.
    """

    def __init__(self, kept: Sequence[Any] | None = None) -> None:  # Any: results of torch's functions
        super().__init__()
        self.kept: list[Any] = []
        self._again = None if kept is None else iter(kept)
        self._off = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # Any: torch's protocol
        keywords = kwargs or {}
        if func is _SWITCH:
            self._off = self._off if _in_forward() else not args[0]
            return func(*args, **keywords)
        cuts = func in _CUTS and not keywords.get("create_graph") and not _in_forward()
        if not self._off and not cuts:
            return func(*args, **keywords)
        if self._again is None:
            found = func(*args, **keywords)
            self.kept.append(_copied(found))
            return found
        return _written(next(self._again), func, args, keywords)


def _in_forward() -> bool:
    """Whether a `torch.autograd.Function` is computing its forward, where torch records no gradient."""
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code is not _APPLY:
        frame = frame.f_back
    return frame is not None


def _copied(value: Any) -> Any:  # Any: as above
    if isinstance(value, Tensor):
        return value.detach().clone()
    return type(value)(map(_copied, value)) if type(value) in (tuple, list) else value


def _written(
    value: Any, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:  # Any: as above
    """The recorded value; if the function writes into an argument, the value is written there again."""
    name = getattr(func, "__name__", "")
    place = keywords.get("out", args[0] if name.endswith("_") and not name.endswith("__") and args else None)
    if isinstance(place, Tensor) and isinstance(value, Tensor):
        place.data.copy_(value)
        return place
    return _copied(value)
