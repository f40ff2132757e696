"""Record which values a function excludes from its gradient (by `detach` or `no_grad`), and detect custom backwards."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from antiphon.grammars.states import map_tensors
from antiphon.grammars.walks import reached

_HOOKS = {"register_hook", "register_prehook", "register_post_accumulate_grad_hook"}
_OF_TORCH = "torch.distributions."
"""Prefix of torch modules whose `torch.autograd.Function` classes count as right, because torch tests them.

Such classes in other torch modules may call code of a user.
"""

_CUTS = {torch.detach, Tensor.detach, Tensor.data.__get__, torch.autograd.grad}  # type: ignore[attr-defined]
_OF_A_FUNCTION = torch.autograd.Function.apply.__func__.__code__, BackwardCFunction.apply.__code__  # type: ignore
"""The codes that call the forward and the backward of a `torch.autograd.Function`."""

_SWITCH = torch._C._set_grad_enabled  # pyright: ignore[reportPrivateUsage] - no_grad calls it, which a mode can observe


@final
class Held(TorchFunctionMode):
    """A torch function mode that records the values for which torch computes no gradient (`detach`, `no_grad`).

    Another instance can replay the record during a second call: each such value is then the same as in the first call,
    although the inputs differ. A finite difference equals torch's gradient only if these values stay constant.
    A `detach` or `no_grad` inside a `torch.autograd.Function` is not recorded: the gradient of such a class is its
    backward function, and the gradient of that is its derivative. The mode also detects hooks that may change a
    gradient.

    kept: the record to replay; None to make a new record.
    """

    def __init__(self, kept: Sequence[Any] | None = None) -> None:  # Any: results of torch's functions
        super().__init__()
        self.kept: list[Any] = []
        self._again = None if kept is None else iter(kept)
        self._off = self._hooked = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # Any: torch's protocol
        keywords = kwargs or {}
        packed = torch._C._autograd._top_saved_tensors_default_hooks(True)  # pyright: ignore - no public name
        self._hooked |= packed is not None or getattr(func, "__name__", "") in _HOOKS
        if func is _SWITCH:
            self._off = self._off if _in_function() else not args[0]
            return func(*args, **keywords)
        cuts = func in _CUTS and not keywords.get("create_graph") and not _in_function()
        if not self._off and not cuts:
            return func(*args, **keywords)
        if self._again is None:
            found = func(*args, **keywords)
            self.kept.append(map_tensors(found, _copy))
            return found
        return _written(next(self._again), func, args, keywords)

    def by_hand(self, outputs: Iterable[Tensor], leaves: Iterable[Tensor]) -> bool:
        """Return whether backpropagation from the outputs to the leaves calls a backward function of a user.

        Such a function is a `torch.autograd.Function`, a custom operator, or a hook of a tensor, a module or saved
        tensors.
        """
        hooked = any(each._backward_hooks for each in leaves)  # pyright: ignore[reportPrivateUsage]
        return self._hooked or hooked or any(map(_by_hand, _nodes(outputs)))


def _by_hand(node: Node) -> bool:
    if isinstance(node, BackwardCFunction):
        return not node._forward_cls.__module__.startswith(_OF_TORCH)  # pyright: ignore
    return node.name().startswith("torch::autograd::CppNode")


def _nodes(outputs: Iterable[Tensor]) -> Iterable[Node]:
    starts = [each.grad_fn for each in outputs if each.grad_fn is not None]
    return reached(starts, lambda node: [each for each, _ in node.next_functions if each is not None])


def _in_function() -> bool:
    """Return whether the forward or the backward of a `torch.autograd.Function` is running now."""
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code not in _OF_A_FUNCTION:
        frame = frame.f_back
    return frame is not None


def _copy(value: Tensor) -> Tensor:
    return value.detach().clone()


def _written(
    value: Any, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:  # Any: as above
    """Return a recorded value instead of calling `func`.

    If `func` writes into an argument (such as `add_`, or with `out=`), write the value into that argument, and return
    the argument. Otherwise return a copy of the value.
    """
    name = getattr(func, "__name__", "")
    place = keywords.get("out", args[0] if name.endswith("_") and not name.endswith("__") and args else None)
    if isinstance(place, Tensor) and isinstance(value, Tensor):
        place.data.copy_(value)
        return place
    return map_tensors(value, _copy)
