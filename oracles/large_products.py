"""Large matrix products of modules that autograd records, by the faster one of torch's two libraries on a CPU."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from antiphon.oracles.affine import LARGE, affine, has_onednn, times

_LINEAR, _MATMUL = frozenset({linear}), frozenset({torch.matmul, Tensor.matmul, Tensor.__matmul__})


def with_large_products(
    function: Callable[..., Any],  # Any: a tensor or a tuple of them
    parameters: Sequence[Tensor],
    rows: int,
) -> Callable[..., Any]:
    """Return `function`, or a function that computes the same with its large products by oneDNN (`affine`).

    These are products with a matrix, and those of their backward passes. rows: the number of vectors in an output. The
    function itself is returned if no parameter is so large a matrix, or not float32 on a CPU.
    """
    matrices = [each for each in parameters if each.ndim == 2 and has_onednn(each)]
    if not matrices or rows * max(each.numel() for each in matrices) < LARGE:
        return function

    def played(*inputs: Tensor) -> Any:  # Any: outputs
        with _LargeProducts():
            return function(*inputs)

    return played


@final
class _LargeProducts(TorchFunctionMode):
    """Replaces the products of dense matrices, `linear` and `matmul`, by `_Affine`, where they are large."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # Any: torch's protocol for functions of every kind
        if not kwargs and (func in _LINEAR or func in _MATMUL) and not torch.compiler.is_compiling():
            x, weight, *bias = args
            weight = weight.t() if func in _MATMUL and isinstance(weight, Tensor) and weight.ndim == 2 else weight
            if _is_large(x, weight, *bias):
                found = cast(Tensor, _Affine.apply(x.reshape(-1, x.shape[-1]), weight, *bias))
                return found.view(*x.shape[:-1], found.shape[-1])
        return func(*args, **(kwargs or {}))


def _is_large(x: Any, weight: Any, bias: Tensor | None = None) -> bool:  # Any: what a user multiplies
    if type(x) is not Tensor or type(weight) not in (Tensor, nn.Parameter) or x.ndim < 2 or weight.ndim != 2:
        return False
    if is_batchedtensor(x):  # torch.vmap would call oneDNN for each element
        return False
    able = (
        has_onednn(x) and has_onednn(weight) and x.shape[-1] == weight.shape[1] and not torch.is_autocast_enabled("cpu")
    )
    fits = bias is None or (bias.dtype is x.dtype and bias.shape == weight.shape[:1])
    return able and fits and x.numel() * weight.shape[0] >= LARGE


class _Affine(torch.autograd.Function):
    """x W^t + b, of shapes (n, k), (m, k), (m,) -> (n, m), for every mode of automatic differentiation of torch."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the output."""
        return affine(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # Any: of torch
        """Keep x and W."""
        x, weight = inputs[:2]
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, *told: Tensor) -> tuple[Tensor | None, ...]:  # Any: of torch
        """Return the gradients of x, W and b, which can be differentiated again. told: the gradient of the output."""
        x, weight = ctx.saved_tensors
        wanted, (message,) = ctx.needs_input_grad, told
        product = torch.mm if torch.is_grad_enabled() else times
        found = product(message, weight) if wanted[0] else None
        own = product(message.t(), x) if wanted[1] else None
        return found, own, *(message.sum(0) if each else None for each in wanted[2:])

    @staticmethod
    def jvp(ctx: Any, *changes: Tensor | None) -> Tensor:  # Any: of torch
        """Return the change of the output, in first order, with the changes of x, W and b."""
        x, weight = ctx.saved_tensors
        of_x, of_weight, *of_bias = changes
        parts = [] if of_x is None else [linear(of_x, weight)]
        parts += [] if of_weight is None else [linear(x, of_weight)]
        return sum([*parts, *(each for each in of_bias if each is not None)], start=torch.zeros((), dtype=x.dtype))
