"""Hand-written vector-Jacobian product of `torch.nn.functional.cross_entropy`, the most common loss.

Autograd calls the same four kernels, so the numbers have the same bits. The overhead of autograd takes longer than the
kernels.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from antiphon.oracles.tape import Products, Tape

_forward, _backward = torch.ops.aten.nll_loss_forward, torch.ops.aten.nll_loss_backward
_to_logits = torch.ops.aten._log_softmax_backward_data
_MEAN, _IGNORED = 1, -100  # the defaults of cross_entropy


@final
class CrossEntropyTape:
    """Computes torch's `cross_entropy` with default arguments and its gradient, without autograd.

    The inputs are logits, (batch, classes), and int64 labels, (batch,). recorded: computes loss and gradient with
    autograd. It is used for inputs of other shapes or dtypes, such as probabilities or images.
    """

    def __init__(self, recorded: Tape) -> None:
        self._recorded = recorded
        self._labels: Tensor | None = None

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return a tuple with the mean loss, 0-d. Keep the logarithms of the probabilities for `respond`."""
        logits, labels = inputs
        if labels.dtype is not torch.int64 or labels.dim() != 1 or logits.dim() != 2:
            return self._recorded.query(inputs)
        self._labels = labels
        self._logarithms = torch.log_softmax(logits.detach(), 1)
        loss, self._count = _forward(self._logarithms, labels, None, _MEAN, _IGNORED)
        return (loss,)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradient of the logits, and an empty tuple, because there are no parameters.

        cotangents: the gradient of the loss. toward: (0,), or () if the gradient of the logits is not asked.
        """
        if self._labels is None:
            return self._recorded.respond(cotangents, toward, parameters)
        (told,) = cotangents
        assert told is not None  # a product has at least one message
        found = _backward(told, self._logarithms, self._labels, None, _MEAN, _IGNORED, self._count)
        upstream = _to_logits(found, self._logarithms, 1, self._logarithms.dtype)
        return (upstream,) * len(toward), ()

    def forget(self) -> None:
        """Drop the values that the last query kept."""
        self._labels = None
        self._recorded.forget()


def cross_entropy_of(
    function: Callable[..., Any],  # Any: operators return any type
    toward: Sequence[int],
    recorded: Tape,
) -> CrossEntropyTape | None:
    """Return an object that computes torch's `cross_entropy` and its gradient without autograd.

    Returns None unless `function` is `torch.nn.functional.cross_entropy` and only the gradient of the logits is asked.
    toward: indices of the inputs whose gradient may be asked. recorded: computes loss and gradient with autograd. It is
    used for labels that are not class indices.
    """
    return CrossEntropyTape(recorded) if function is cross_entropy and tuple(toward) == (0,) else None
