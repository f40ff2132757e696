"""Runs torch's recurrent cells over a whole sequence in one call of torch, where this computes the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from antiphon.grammars.plain import is_plain

_LAYERS: dict[tuple[type, str], Callable[..., Any]] = {  # Any: functions of torch without stubs
    (nn.LSTMCell, ""): torch.lstm,
    (nn.GRUCell, ""): torch.gru,
    (nn.RNNCell, "tanh"): torch.rnn_tanh,
    (nn.RNNCell, "relu"): torch.rnn_relu,
}


def whole_sequence(
    cell: Callable[..., Any], x: Tensor, state: tuple[Tensor, ...] | None
) -> tuple[Tensor, tuple[Tensor, ...]] | None:
    """Apply one of torch's recurrent cells to all steps at once. Returns the outputs, and the state after all steps.

    x: (batch, steps, features). state: before the first step, (batch, width) each; None for zeros. This saves the time
    that Python spends on each step; the numbers are equal up to rounding. Returns None for any other cell, for a cell
    with hooks or replaced methods, under autocast, and outside of the CPU. oneDNN is off, because torch cannot
    differentiate its recurrent layers twice.
    """
    layer = _LAYERS.get((type(cell), getattr(cell, "nonlinearity", "")))
    if layer is None or not isinstance(cell, nn.RNNCellBase) or not is_plain(cell, type(cell)):
        return None
    if x.dim() != 3 or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return None
    count = 2 if isinstance(cell, nn.LSTMCell) else 1
    start = state or (x.new_zeros(len(x), cell.hidden_size),) * count
    weights = [cell.weight_ih, cell.weight_hh, *([cell.bias_ih, cell.bias_hh] if cell.bias else [])]
    if {each.dtype for each in (x, *start, *weights)} != {x.dtype} or any(each.dim() != 2 for each in start):
        return None
    given = tuple(each[None] for each in start)
    with _without_onednn():
        outputs, *last = layer(x, given if count == 2 else given[0], weights, cell.bias, 1, 0.0, True, False, True)
    return outputs, tuple(each[0] for each in last)


@contextmanager
def _without_onednn() -> Iterator[None]:
    # As `torch.backends.mkldnn.flags`, which also warns of a setting for GPUs.
    before = torch._C._get_mkldnn_enabled()  # pyright: ignore[reportAttributeAccessIssue]
    torch._C._set_mkldnn_enabled(False)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)  # pyright: ignore[reportAttributeAccessIssue]
