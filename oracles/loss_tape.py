"""Hand-written vector-Jacobian products of `cross_entropy`, `mse_loss` and the objective of a GAN.

Autograd calls the same kernels, so the numbers have the same bits. The overhead of autograd takes longer than the
kernels.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias, final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from antiphon.oracles.tape import Products, Tape

Kept: TypeAlias = tuple[Tensor, ...]
"""The values of a query that its gradient needs."""

_nll, _nll_back = torch.ops.aten.nll_loss_forward.default, torch.ops.aten.nll_loss_backward.default
_to_logits = torch.ops.aten._log_softmax_backward_data.default
_mse, _mse_back = torch.ops.aten.mse_loss.default, torch.ops.aten.mse_loss_backward.default
_log_sigmoid = torch.ops.aten.log_sigmoid_forward.default
_log_sigmoid_back = torch.ops.aten.log_sigmoid_backward.default
_MEAN, _IGNORED = 1, -100  # the defaults of both losses


def _cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Kept] | None:
    if labels.dtype is not torch.int64 or labels.dim() != 1 or logits.dim() != 2:
        return None  # probabilities, or images
    logarithms = torch.log_softmax(logits, 1)
    loss, count = _nll(logarithms, labels, None, _MEAN, _IGNORED)
    return loss, (logarithms, labels, count)


def _cross_entropy_back(told: Tensor, kept: Kept, _: int) -> Tensor:
    logarithms, labels, count = kept
    found = _nll_back(told, logarithms, labels, None, _MEAN, _IGNORED, count)
    return _to_logits(found, logarithms, 1, logarithms.dtype)


def _squares(x: Tensor, y: Tensor) -> tuple[Tensor, Kept] | None:
    if x.shape != y.shape or x.dtype is not y.dtype or not x.is_floating_point():
        return None  # torch repeats the smaller one, with a warning
    return _mse(x, y, _MEAN), (x, y)


def _squares_back(told: Tensor, kept: Kept, index: int) -> Tensor:
    x, y = kept if index == 0 else kept[::-1]
    return _mse_back(told, x, y, _MEAN)


def _discernment(real: Tensor, fake: Tensor) -> tuple[Tensor, Kept] | None:
    minus = -fake
    (told, one), (untold, other) = _log_sigmoid(real), _log_sigmoid(minus)
    return told.mean() + untold.mean(), (real, one, minus, other)


def _discernment_back(told: Tensor, kept: Kept, index: int) -> Tensor:
    x, exponential = kept[2 * index : 2 * index + 2]
    found = _log_sigmoid_back(told.expand(x.shape) / x.numel(), x, exponential)
    return -found if index else found


class _Kernels(NamedTuple):
    """The functions of one loss.

    query: returns the loss and the values to keep; None for inputs of other shapes or dtypes. respond: returns the
    gradient of one input, given the gradient of the loss, the kept values and the index of the input. inputs: indices
    of the inputs for which `respond` works. shows_nan: whether every NaN in an input makes the loss NaN. In cross
    entropy it need not, because examples with the label -100 are left out.
    """

    query: Callable[[Tensor, Tensor], tuple[Tensor, Kept] | None]
    respond: Callable[[Tensor, Kept, int], Tensor]
    inputs: frozenset[int]
    shows_nan: bool = True


_KNOWN: Mapping[Any, _Kernels] = {  # Any: functions
    cross_entropy: _Kernels(_cross_entropy, _cross_entropy_back, frozenset({0}), False),
    mse_loss: _Kernels(_squares, _squares_back, frozenset({0, 1})),
}
_OF_GAN = _Kernels(_discernment, _discernment_back, frozenset({0, 1}))


@final
class LossTape:
    """Computes a loss of two inputs, with default arguments, and its gradient without autograd.

    recorded: computes loss and gradient with autograd. It is used for inputs of other shapes or dtypes.
    """

    def __init__(self, kernels: _Kernels, recorded: Tape) -> None:
        self._kernels, self._recorded, self.shows_nan = kernels, recorded, kernels.shows_nan
        self._kept: Kept | None = None

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return a tuple with the mean loss, 0-d. Keep the values that `respond` needs."""
        found = self._kernels.query(*[value.detach() for value in inputs])
        if found is None:
            self._kept = None
            return self._recorded.query(inputs)
        loss, self._kept = found
        return (loss,)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradients of the inputs `toward`, and an empty tuple: a loss has no parameters.

        cotangents: the gradient of the loss, as the only element.
        """
        if self._kept is None:
            return self._recorded.respond(cotangents, toward, parameters)
        (told,) = cotangents
        assert told is not None  # a product has at least one message
        return tuple([self._kernels.respond(told, self._kept, index) for index in toward]), ()

    def forget(self) -> None:
        """Drop the values that the last query kept."""
        self._kept = None
        self._recorded.forget()


def loss_of(
    function: Callable[..., Any],  # Any: operators return any type
    toward: Sequence[int],
    recorded: Tape,
) -> LossTape | None:
    """Return an object that computes a loss and its gradient without autograd.

    Returns None unless `function` is torch's `cross_entropy`, and only the gradient of the logits is asked, or torch's
    `mse_loss`, or the objective of the library's generative adversarial network. toward: indices of the inputs whose
    gradient may be asked. recorded: computes loss and gradient with autograd, for inputs that the object does not
    compute, such as labels that are not class indices.
    """
    gan = sys.modules.get("antiphon.grammars.library.gan")  # None: no grammar of this process has this loss
    known = {**_KNOWN, gan.discernment: _OF_GAN} if gan else _KNOWN
    kernels = known.get(function) if isinstance(function, FunctionType) else None
    return LossTape(kernels, recorded) if kernels and kernels.inputs.issuperset(toward) else None
