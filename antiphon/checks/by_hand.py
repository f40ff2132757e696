"""Find backward functions that torch did not write: only those need a second reference beside torch's derivative."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

_HOOKS = {"register_hook", "register_prehook", "register_post_accumulate_grad_hook"}
_OF_TORCH = "torch.distributions."
"""Module of autograd functions that torch wrote and tests itself. Torch's other ones call a user's code."""


@final
class ByHand(TorchFunctionMode):
    """While it is entered, it notices hooks that may change a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self._hooked = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # Any: torch's protocol
        packed = torch._C._autograd._top_saved_tensors_default_hooks(True)  # pyright: ignore - no public name
        self._hooked |= packed is not None or getattr(func, "__name__", "") in _HOOKS
        return func(*args, **(kwargs or {}))

    def wrote(self, outputs: Iterable[Tensor], leaves: Iterable[Tensor]) -> bool:
        """Whether a backward function between the outputs and the leaves was written by hand.

        That is a `torch.autograd.Function`, a custom operator, or a hook of a tensor, of a module or of saved tensors.
        """
        hooked = any(each._backward_hooks for each in leaves)  # pyright: ignore[reportPrivateUsage]
        return self._hooked or hooked or any(map(_by_hand, _nodes(outputs)))


def _by_hand(node: Node) -> bool:
    if isinstance(node, BackwardCFunction):
        return not node._forward_cls.__module__.startswith(_OF_TORCH)  # pyright: ignore
    return node.name().startswith("torch::autograd::CppNode")


def _nodes(outputs: Iterable[Tensor]) -> set[Node]:
    found, waiting = set[Node](), [each.grad_fn for each in outputs]
    while waiting:
        if (node := waiting.pop()) is not None and node not in found:
            found.add(node)
            waiting += [each for each, _ in node.next_functions]
    return found
