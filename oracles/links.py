"""The layers of a chain. Each computes its output and its vector-Jacobian products by hand, on (batch, features).

Autograd calls the same kernels, except that large float32 products may go through oneDNN.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, final

import torch
from torch import Tensor, nn

from antiphon.grammars.plain import is_affine, is_plain, is_plain_parameter
from antiphon.oracles.affine import affine, times

Kept: TypeAlias = tuple[Tensor, ...]
"""The values that the gradients of a layer need."""


class ChainLayer(Protocol):
    """One layer of a chain."""

    def up(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the output for the input x, and the values that `down` and `own` need."""
        ...

    def down(self, told: Tensor, kept: Kept) -> Tensor:
        """Return the gradient of the input. told: the gradient of the output. kept: as `up` returned it."""
        ...

    def own(self, told: Tensor, kept: Kept) -> tuple[Tensor, ...]:
        """Return the gradients of the parameters. told: the gradient of the output. kept: as `up` returned it."""
        ...


@final
class Affine:
    """The layer `nn.Linear`."""

    def __init__(self, module: nn.Linear) -> None:
        self._weight, self._bias = module.weight, module._parameters["bias"]

    def up(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return x W^t + b."""
        return affine(x, self._weight, self._bias), (x,)

    def down(self, told: Tensor, kept: Kept) -> Tensor:
        """Return the gradient of x."""
        return times(told, self._weight)

    def own(self, told: Tensor, kept: Kept) -> tuple[Tensor, ...]:
        """Return the gradients of W and, if there is a bias, of b."""
        weight = times(told.t(), kept[0])
        return (weight,) if self._bias is None else (weight, told.sum(0))


_norm, _norm_back = torch.ops.aten.native_layer_norm.default, torch.ops.aten.native_layer_norm_backward.default


@final
class Norm:
    """The layer `nn.LayerNorm` over the features, with weight and bias."""

    def __init__(self, module: nn.LayerNorm) -> None:
        self._module, self._weight, self._bias = module, module.weight, module.bias

    def up(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the normalised x, times the weight, plus the bias."""
        played, mean, deviation = _norm(x, self._module.normalized_shape, self._weight, self._bias, self._module.eps)
        return played, (x, mean, deviation)

    def down(self, told: Tensor, kept: Kept) -> Tensor:
        """Return the gradient of x."""
        return self._back(told, kept, [True, False, False])[0]

    def own(self, told: Tensor, kept: Kept) -> tuple[Tensor, ...]:
        """Return the gradients of weight and bias."""
        return self._back(told, kept, [False, True, True])[1:]

    def _back(self, told: Tensor, kept: Kept, asked: list[bool]) -> tuple[Tensor, ...]:
        x, *moments = kept
        return _norm_back(told, x, self._module.normalized_shape, *moments, self._weight, self._bias, asked)


class _Function(NamedTuple):
    """The kernels of torch for an elementwise function of x.

    up: x -> output. up_in_place: the same, but the output overwrites x. down: (gradient of the output, output) ->
    gradient of x.
    """

    up: Callable[[Tensor], Tensor]
    up_in_place: Callable[[Tensor], Tensor]
    down: Callable[[Tensor, Tensor], Tensor]


_threshold_back = torch.ops.aten.threshold_backward.default
_FUNCTIONS: dict[type[nn.Module], _Function] = {
    nn.ReLU: _Function(torch.relu, torch.relu_, lambda told, played: _threshold_back(told, played, 0)),
    nn.Tanh: _Function(torch.tanh, torch.tanh_, torch.ops.aten.tanh_backward.default),
}


@final
class Elementwise:
    """The layers `nn.ReLU` and `nn.Tanh`. in_place: whether the output may overwrite the input."""

    def __init__(self, function: _Function, in_place: bool) -> None:
        self._up, self._down = function.up_in_place if in_place else function.up, function.down

    def up(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the ReLU or tanh of x, and a tuple with this output."""
        played = self._up(x)
        return played, (played,)

    def down(self, told: Tensor, kept: Kept) -> Tensor:
        """Return the gradient of x."""
        return self._down(told, kept[0])

    def own(self, told: Tensor, kept: Kept) -> tuple[Tensor, ...]:
        """Return nothing: the layer has no parameters."""
        return ()


def link_of(module: nn.Module | None, before: ChainLayer | None) -> ChainLayer | None:
    """Return an object that computes the layer `module` of a chain. before: the layer before it in the chain, or None.

    Returns None unless the module is an `nn.Linear`, `nn.LayerNorm`, `nn.ReLU` or `nn.Tanh` without hooks and methods
    of its own, and does not work in place itself.
    """
    if module is None or type(module) not in (nn.Linear, nn.LayerNorm, *_FUNCTIONS):
        return None
    if isinstance(module, nn.Linear):
        return Affine(module) if is_affine(module) else None
    if not is_plain(module, type(module)):
        return None
    if isinstance(module, nn.LayerNorm):
        own = [module._parameters.get(name) for name in ("weight", "bias")]
        fits = [is_plain_parameter(each) and each is not None and each.shape == module.normalized_shape for each in own]
        return Norm(module) if len(module.normalized_shape) == 1 and all(fits) else None
    if getattr(module, "inplace", False) or module._parameters:
        return None
    # The gradients of these two layers do not need their output.
    return Elementwise(_FUNCTIONS[type(module)], isinstance(before, Affine | Norm))
