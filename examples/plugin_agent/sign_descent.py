"""A custom agent: it uses only the sign of the running mean of its responses."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor


@final
class SignDescent:
    """Moves each parameter by `lr` against the sign of a running mean of responses. `decay`: weight of the old mean."""

    def __init__(self, parameters: Sequence[Tensor], lr: float = 0.001, decay: float = 0.9) -> None:
        self._parameters, self._lr, self._decay = parameters, lr, decay
        self._heard = [torch.zeros_like(each) for each in parameters]
        self._means = [torch.zeros_like(each) for each in parameters]

    def hear(self, response: Sequence[Tensor]) -> None:
        """Add the response to those received since the last move."""
        for heard, each in zip(self._heard, response, strict=True):
            heard.add_(each)

    def move(self) -> Sequence[Tensor]:
        """Update the parameters in place and return them."""
        with torch.no_grad():
            for parameter, mean, heard in zip(self._parameters, self._means, self._heard, strict=True):
                mean.lerp_(heard, 1 - self._decay)
                parameter.sub_(mean.sign(), alpha=self._lr)
                heard.zero_()
        return self._parameters

    def state(self) -> dict[str, list[Tensor]]:
        """Copies of the running means."""
        return {"means": [mean.clone() for mean in self._means]}

    def load(self, state: dict[str, list[Tensor]]) -> None:
        """Continue from a state."""
        for mean, saved in zip(self._means, state["means"], strict=True):
            mean.copy_(saved)
