"""Operators computed in less precision than their edges are declared in (Micikevicius et al., 2018, Mixed Precision
Training): `torch.autocast` around the operator, edges as they were.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.oracles.tape import Products, Tape


@final
class Autocast:
    """`function` under `torch.autocast`; what it plays in `dtype` is cast back to the dtypes `outputs`.

    Its gradients then have the dtypes of what they are about, by torch's own rule: the casts are part of the operator.
    kind: of the device, "cpu" or "cuda". dtype: torch.bfloat16 or torch.float16. What computes in float64 goes on so.
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
        """What the function plays."""
        with torch.autocast(self._kind, self.dtype):
            played = self.function(*inputs)
        values = (played,) if isinstance(played, Tensor) else tuple(played)
        # Anything of another dtype was not autocast's doing, and is for whoever checks what the operator plays.
        pairs = zip(values, self._outputs, strict=len(values) == len(self._outputs))
        return tuple(value.to(dtype) if value.dtype is self.dtype else value for value, dtype in pairs)


@final
class ScaledTape:
    """Products in float16, whose numbers end at 6e-8 below and 65504 above.

    A gradient of a mean over a batch is small, and would be rounded to nothing on its way. Products are linear in the
    messages; so these are multiplied by the power of two that brings the largest number among them to between a half
    and one, and the products divided by it. Both are exact. The power comes from the messages alone: there is no state,
    and nothing waits on the host, as a loss scale that is searched for would (torch's GradScaler). One is as large as
    it may be: a parameter's product is a sum over the batch, and leaves room for 65504 such terms.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """As the tape."""
        return self._tape.query(inputs)

    @property
    def queried(self) -> bool:
        """As the tape."""
        return self._tape.queried

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """As the tape, with the messages scaled."""
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
        """As the tape."""
        self._tape.forget()


def exponent_of(values: Sequence[Tensor]) -> Tensor:
    """The exponent e, 0-d and on the device, for which the largest number is in [2^(e-1), 2^e); 0 if it is 0 or not
    finite. At most 126 either way, so that float32 has both powers.

    >>> int(exponent_of([torch.tensor([3e-7, -0.1]), torch.tensor([0.2])]))
    -2
    """
    largest = torch.stack([value.detach().abs().amax().double() for value in values]).amax()
    known = torch.where(largest.isfinite(), largest, 0.0)
    return torch.frexp(known).exponent.clamp(-126, 126)


def times_power(value: Tensor, exponent: Tensor) -> Tensor:
    """`value` times 2^exponent, rounded only where the result leaves the normal numbers of its dtype."""
    power = torch.ldexp(torch.ones_like(exponent, dtype=torch.float32), exponent)
    # A dtype narrower than the power would round it to infinity.
    wide = value.to(torch.promote_types(value.dtype, torch.float32))
    return (wide * power).to(value.dtype)
