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
    """The tape of `cross_entropy` with its default arguments, for logits (batch, classes) and labels (batch,).

    Labels of another kind (probabilities, images) are left to the tape `recorded`.
    """

    def __init__(self, recorded: Tape) -> None:
        self._recorded = recorded
        self._labels: Tensor | None = None

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the mean loss; keep the logarithms of the probabilities."""
        logits, labels = inputs
        if labels.dtype is not torch.int64 or labels.dim() != 1 or logits.dim() != 2:
            return self._recorded.query(inputs)
        self._labels = labels
        self._logarithms = torch.log_softmax(logits.detach(), 1)
        loss, self._count = _forward(self._logarithms, labels, None, _MEAN, _IGNORED)
        return (loss,)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """See `Tape.respond`: the gradient of the logits if `toward` is (0,), and no gradient of parameters."""
        if self._labels is None:
            return self._recorded.respond(cotangents, toward, parameters)
        (told,) = cotangents
        assert told is not None  # a product has at least one message
        found = _backward(told, self._logarithms, self._labels, None, _MEAN, _IGNORED, self._count)
        upstream = _to_logits(found, self._logarithms, 1, self._logarithms.dtype)
        return (upstream,) * len(toward), ()

    def forget(self) -> None:
        """Drop the values of the last query."""
        self._labels = None
        self._recorded.forget()


def cross_entropy_of(
    function: Callable[..., Any],  # Any: operators return any type
    toward: Sequence[int],
    recorded: Tape,
) -> CrossEntropyTape | None:
    """Return a tape with a hand-written product if `function` is torch's cross-entropy with default arguments.

    toward: the inputs whose gradient may be asked. recorded: the tape for other labels than class indices.
    """
    return CrossEntropyTape(recorded) if function is cross_entropy and tuple(toward) == (0,) else None
