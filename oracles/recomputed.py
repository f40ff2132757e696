"""Queries an operator, keeps only the inputs, and computes the query again before its first response.

This is activation checkpointing (Chen et al., 2016, Training Deep Nets with Sublinear Memory Cost): less memory between
query and response, for a second query.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.errors import GrammarError
from antiphon.oracles.tape import Products, Tape


@final
class RecomputedTape:
    """Queries an operator without keeping its activations. Before the response it queries the operator again.

    tape: queries and differentiates the operator. Both queries draw the same random numbers. who: the name of the
    operator in errors. buffers: the buffers of the operator's module. A query must not change them, because the second
    query would change them again. device: the device of the operator.
    """

    def __init__(self, who: str, tape: Tape, buffers: Sequence[Tensor], device: torch.device) -> None:
        self._who, self._tape, self._buffers = who, tape, tuple(buffers)
        self._devices = [device] if device.type == "cuda" else []
        self._inputs: tuple[Tensor, ...] | None = None

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs of the operator. Keep only the inputs, and the state of torch's random streams.

        Raises GrammarError if the query changes a buffer.
        """
        before = [buffer._version for buffer in self._buffers]
        self._streams = torch.get_rng_state(), [torch.cuda.get_rng_state(each) for each in self._devices]
        played = self._tape.query(inputs)
        self._tape.forget()
        if before != [buffer._version for buffer in self._buffers]:
            raise GrammarError(
                f"{self._who} is to be computed again before its response, and changes its buffers when it is queried; "
                "expected buffers that stay, because they would change twice. Leave out `recompute` for this player."
            )
        self._inputs = tuple(inputs)
        return played

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Compute the last query again, and return its vector-Jacobian products, of inputs and of parameters.

        cotangents: gradient of each output, None for zero. toward: indices of the inputs whose gradient is asked.
        parameters: whether the gradients of the parameters are asked. Only the first response computes the query again.
        """
        if self._inputs is not None:
            host, streams = self._streams
            with torch.random.fork_rng(self._devices):
                torch.set_rng_state(host)
                for device, state in zip(self._devices, streams, strict=True):
                    torch.cuda.set_rng_state(state, device)
                self._tape.query(self._inputs)
            self._inputs = None
        return self._tape.respond(cotangents, toward, parameters)

    def forget(self) -> None:
        """Drop the inputs and all values of the last query."""
        self._inputs = None
        self._tape.forget()
