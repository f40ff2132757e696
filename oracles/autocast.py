"""Mixed precision (Micikevicius et al., 2018, Mixed Precision Training): operators that run under `torch.autocast`.

The inputs and outputs of such an operator keep their declared dtypes.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.oracles.tape import Products, Tape


@final
class Autocast:
    """Calls `function` under `torch.autocast`, and casts outputs of dtype `dtype` to the dtypes `outputs`.

    Autograd records the casts, so each gradient has the dtype of its input or parameter.
    kind: type of the device, "cpu" or "cuda". dtype: torch.bfloat16 or torch.float16. outputs: declared dtype of each
    output. Autocast does not change float64.
    """

    def __init__(
        self,
        function: Callable[..., Any],  # Any: a tensor or a tuple of them
        kind: str,
        dtype: torch.dtype,
        outputs: Sequence[torch.dtype],
    ) -> None:
        self.function, self._kind, self.dtype, self._outputs = function, kind, dtype, tuple(outputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Call the function under autocast, and return its outputs in their declared dtypes."""
        with torch.autocast(self._kind, self.dtype):
            played = self.function(*inputs)
        values = (played,) if isinstance(played, Tensor) else tuple(played)
        # Another dtype does not come from autocast. `Operator` checks the outputs, and reports it.
        pairs = zip(values, self._outputs, strict=len(values) == len(self._outputs))
        return tuple(value.to(dtype) if value.dtype is self.dtype else value for value, dtype in pairs)


@final
class ScaledTape:
    """Scales gradients before and after a backward pass in float16, so that small numbers are not rounded to zero.

    tape: runs the forward and backward passes. Numbers of float16 range from 6e-8 to 65504, and the gradient of a mean
    over a batch is small. A backward pass is linear in the gradients of the outputs. So these are multiplied by a power
    of two that brings the largest number to between 1/2 and 1, and the results are divided by this power. Both steps
    are exact. The power depends only on the gradients of the outputs. So there is no state to save and no wait for the
    device, in contrast to torch's GradScaler, which searches for a scale. The largest number is at most 1, because the
    gradient of a parameter is a sum over the batch: a sum of 65504 such terms does not overflow.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs of the operator, detached, without any scaling."""
        return self._tape.query(inputs)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradients of the inputs `toward`, and the gradients of the parameters.

        cotangents: gradient of each output, None for zero. They are scaled before the backward pass, and the results
        are scaled back. parameters: whether the gradients of the parameters are asked; else the second tuple is empty.
        """
        told = [each for each in cotangents if each is not None and each.numel()]
        if not told:
            return self._tape.respond(cotangents, toward, parameters)
        exponent = exponent_of(told)
        scaled = [None if each is None else times_power(each, -exponent) for each in cotangents]
        upstream, own = self._tape.respond(scaled, toward, parameters)
        return tuple(times_power(each, exponent) for each in upstream), tuple(
            times_power(each, exponent) for each in own
        )

    def forget(self) -> None:
        """Drop the values that the last query kept."""
        self._tape.forget()


def exponent_of(values: Sequence[Tensor]) -> Tensor:
    """Return the exponent e such that 2^(e-1) <= m < 2^e, where m is the largest absolute value in all tensors.

    The result is a 0-d tensor on their device. It is 0 if m is 0 or not finite. It is clamped to [-126, 126], so that
    2^e and 2^-e fit into float32.

    >>> int(exponent_of([torch.tensor([3e-7, -0.1]), torch.tensor([0.2])]))
    -2
    """
    largest = torch.stack([value.detach().abs().amax().double() for value in values]).amax()
    known = torch.where(largest.isfinite(), largest, 0.0)
    return torch.frexp(known).exponent.clamp(-126, 126)


def times_power(value: Tensor, exponent: Tensor) -> Tensor:
    """Return `value` times 2^exponent; exact unless the result is outside the normal numbers of its dtype."""
    power = torch.ldexp(torch.ones_like(exponent, dtype=torch.float32), exponent)
    # A dtype narrower than float32 would round the power to infinity.
    wide = value.to(torch.promote_types(value.dtype, torch.float32))
    return (wide * power).to(value.dtype)
