"""A node of Q as a gray box: it is queried for its value, then responds with vector-Jacobian products."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from antiphon.errors import GrammarError, ProtocolError, ShapeError
from antiphon.grammars.plain import backward_hooks_of, is_hooked
from antiphon.oracles.autocast import Autocast, ScaledTape
from antiphon.oracles.chain import chain_of
from antiphon.oracles.cross_entropy import cross_entropy_of
from antiphon.oracles.recomputed import RecomputedTape
from antiphon.oracles.sharded import ShardedTape
from antiphon.oracles.tape import AutogradTape, Products, Tape

ALIGNMENT = 64
"""Alignment of the value of every edge, in bytes. Vectorised kernels may sum in another order at another alignment."""


def aligned(value: Tensor) -> Tensor:
    """Return the value if it is contiguous and 64-byte aligned, else a copy that is.

    Kernels then give equal bits in every executor.
    """
    if value.is_contiguous() and value.data_ptr() % ALIGNMENT == 0:
        return value
    return value.clone(memory_format=torch.contiguous_format)


@final
class Operator:
    """One operator on its worker. It keeps the values of the last query that the responses need.

    who: its name in errors. outputs: (shape, dtype) of each output. inputs: number of inputs. toward: indices of the
    inputs whose gradient may be asked. parameters: those of the player; empty if their gradient is never asked.
    products: number of responses to one query. sharded: whether the parameters are sharded over several workers.
    alone: whether the player gets no other response in a round. recompute: the device of an operator that keeps no
    activations between query and response (see `RecomputedTape`). The caller seeds random streams, not the operator.
    Raises GrammarError for parameters with hooks if `alone` is false.
    """

    def __init__(
        self,
        who: str,
        function: Callable[..., Any],  # Any: a tensor or a tuple of them
        outputs: Sequence[tuple[tuple[int, ...], torch.dtype]],
        inputs: int = 1,
        toward: Sequence[int] = (),
        parameters: Sequence[Tensor] = (),
        products: int = 1,
        sharded: bool = False,
        alone: bool = True,
        recompute: torch.device | None = None,
    ) -> None:
        self.who, self._function, self._outputs = who, function, list(outputs)
        self._alone, self._parameters = alone, tuple(parameters)
        self._refuse_hooks()
        self._tape: Tape | None = None
        self._products, self._left = products, 0
        if sharded:
            self._tape = ShardedTape(function, toward, parameters)
            return
        module = function.function if isinstance(function, Autocast) else function
        recorded = AutogradTape(function, toward, parameters, products, backward_hooks_of(module))
        self._tape = chain_of(function, inputs, len(outputs[0][0]), products > 0, parameters, recorded)
        if self._tape is None and (toward or parameters):
            self._tape = cross_entropy_of(function, toward, recorded) or recorded
            if isinstance(function, Autocast) and function.dtype is torch.float16:
                self._tape = ScaledTape(self._tape)
        if recompute is not None and self._tape is not None and products:
            buffers = tuple(module.buffers()) if isinstance(module, nn.Module) else ()
            self._tape = RecomputedTape(who, self._tape, buffers, recompute)

    def query(self, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        """Return the outputs, detached and aligned (see `aligned`). The operator must not write to the inputs.

        Raises ShapeError if an output is not as declared, ProtocolError if the operator wrote to an input.
        """
        if torch.is_grad_enabled():
            with torch.no_grad():  # tapes that record enable it again
                return self.query(inputs, round)
        versions = [value._version for value in inputs]
        played = self._tape.query(inputs) if self._tape is not None else self._plainly(inputs)
        self._left = self._products
        if versions != [value._version for value in inputs]:
            raise ProtocolError(
                f"{self.who} changed one of its inputs in place; expected it to leave them alone, because others read "
                "them too. Use the operation that is not in place (ReLU() instead of ReLU(inplace=True))."
            )
        return self._checked(played)

    def respond(
        self, cotangents: Sequence[Tensor | None], toward: Sequence[int] = (), parameters: bool = True
    ) -> Products:
        """Return the vector-Jacobian product at the last query (essay, section 2, operator `*`).

        cotangents: one per output, None for zero. Returns the gradients of the inputs `toward` in that order, and of
        the parameters in order; zeros where the outputs do not depend on an input or parameter.
        Raises ProtocolError if there was no query in this round, or after more than `products` responses.
        """
        if self._tape is None or not self._left:
            raise ProtocolError(
                f"{self.who} was asked to respond without a query in this round; expected the query phase first. "
                "Order the schedule so that this node is queried before."
            )
        if torch.is_grad_enabled():
            with torch.no_grad():
                return self.respond(cotangents, toward, parameters)
        self._refuse_hooks()
        try:
            upstream, own = self._tape.respond(cotangents, toward, parameters)
        except RuntimeError as error:
            if all(each.requires_grad for each in self._parameters):
                raise
            raise self._frozen() from error
        self._left -= 1
        if not self._left:
            self._tape.forget()
        return tuple(map(aligned, upstream)), own

    def forget(self) -> None:
        """Drop what the last query kept for its responses, if some of these did not come in this round."""
        if self._tape is not None and self._left:
            self._left = 0
            self._tape.forget()

    def _refuse_hooks(self) -> None:
        if not self._alone and is_hooked(self._parameters):
            raise GrammarError(
                f"{self.who} has parameters with hooks, and its player hears several responses a round; expected one, "
                "because torch calls such a hook once, with the sum of all. Let the agent do this to the sum "
                "(clipping, say), or remove the hooks."
            )

    def _frozen(self) -> ProtocolError:
        count = sum(not each.requires_grad for each in self._parameters)
        return ProtocolError(
            f"{self.who} has {count} parameters that were learned at the start and require no gradient any more; "
            "expected each to stay as it was, because a response has a part for each. "
            "Freeze them where the module is made, or multiply their gradient by zero in the agent."
        )

    def _plainly(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        played = self._function(*inputs)
        return (played,) if isinstance(played, Tensor) else tuple(played)

    def _checked(self, played: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if [(value.shape, value.dtype) for value in played] != self._outputs:
            found = [(tuple(value.shape), value.dtype) for value in played]
            raise ShapeError(
                f"{self.who} played {found}; expected {self._outputs}, as it was typed. "
                "Make its output shapes depend on its input shapes only."
            )
        return tuple(map(aligned, played))
