"""The operator of one node of the Query graph: it computes outputs, and then vector-Jacobian products."""

import math
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from antiphon.errors import GrammarError, ProtocolError, ShapeError
from antiphon.grammars.plain import backward_hooks_of, is_hooked
from antiphon.oracles.addition import addition_of
from antiphon.oracles.autocast import Autocast, ScaledTape
from antiphon.oracles.chain import ChainTape, chain_of
from antiphon.oracles.kicks import KickTape, kick_of
from antiphon.oracles.large_products import with_large_products
from antiphon.oracles.loss_tape import LossTape, loss_of
from antiphon.oracles.recomputed import RecomputedTape
from antiphon.oracles.sharded import ShardedTape
from antiphon.oracles.tape import AutogradTape, Products, Tape

ALIGNMENT = 64
"""Alignment of the value of every edge, in bytes. Vectorised kernels may sum in another order at another alignment."""


def aligned(value: Tensor) -> Tensor:
    """Return `value` itself if it is contiguous and aligned to 64 bytes, else a contiguous and aligned copy.

    Vectorised kernels then compute the same bits from this value in every process.
    """
    if value.is_contiguous() and value.data_ptr() % ALIGNMENT == 0:
        return value
    return value.clone(memory_format=torch.contiguous_format)


@final
class Operator:
    """Computes the outputs of one function (forward pass), and then its vector-Jacobian products (backward passes).

    who: name of the operator in errors. function: takes tensors, and returns a tensor or a tuple of tensors. outputs:
    (shape, dtype) of each output. inputs: number of inputs. toward: indices of the inputs whose gradient may be asked.
    parameters: the parameters of the function; empty if their gradient is never asked. products: number of responses
    (backward passes) to one query. one_product: whether these responses are the parts of one product. sharded: whether
    the parameters are sharded over several workers. alone: whether the player of the operator gets no other response in
    a round. recompute: None, or the device of the function if its activations are not kept but computed again before
    the response. begin: seeds the random streams of the function in a round; it is called before each call of the
    function, but not before products by hand, which draw no numbers.
    Raises GrammarError if parameters have hooks and `alone` is false.
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
        one_product: bool = False,
        sharded: bool = False,
        alone: bool = True,
        recompute: torch.device | None = None,
        begin: Callable[[int], None] | None = None,
    ) -> None:
        self.who, self._outputs = who, list(outputs)
        called = with_large_products(function, parameters, _rows(function, outputs))
        self._function, self._round = called if begin is None else self._begun(called, begin), -1
        self._alone, self._parameters = alone, tuple(parameters)
        self._refuse_hooks()
        self._tape: Tape | None = None
        self._products, self._left = products, 0
        if sharded:
            self._tape = ShardedTape(self._function, toward, parameters)
            return
        module = function.function if isinstance(function, Autocast) else function
        at_once = one_product and _has_several_layers(module)
        recorded = AutogradTape(self._function, toward, parameters, products, backward_hooks_of(module), at_once)
        self._tape = chain_of(function, inputs, len(outputs[0][0]), products > 0, parameters, recorded)
        if self._tape is None and (toward or parameters):
            known = loss_of(function, toward, recorded) or kick_of(function, parameters, recorded)
            self._tape = known or addition_of(function, inputs, recorded) or recorded
            if isinstance(function, Autocast) and function.dtype is torch.float16:
                self._tape = ScaledTape(self._tape)
        if recompute is not None and self._tape is not None and products:
            buffers = tuple(module.buffers()) if isinstance(module, nn.Module) else ()
            self._tape = RecomputedTape(who, self._tape, buffers, recompute)

    def query(self, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        """Return the outputs of the function, detached, contiguous and aligned to 64 bytes.

        Raises ShapeError if an output does not have the declared shape and dtype, ProtocolError if the function wrote
        to an input.
        """
        if torch.is_grad_enabled():
            with torch.no_grad():  # tapes that record enable it again
                return self.query(inputs, round)
        self._round = round
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
        """Return the vector-Jacobian product at the inputs of the last query (essay, section 2, operator `*`).

        cotangents: gradient of each output, None for zero. toward: indices of the inputs whose gradient is asked.
        parameters: whether the gradients of the parameters are asked.
        Returns two tuples: the gradients of the inputs `toward`, and the gradients of all parameters, both in order. A
        gradient is zero if the outputs do not depend on the input or parameter.
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

    @property
    def shows_nan(self) -> bool:
        """Whether every NaN in an input makes a number of the output NaN.

        True for linear layers, layer norms, ReLU, tanh, the dense layers of kickback, and some losses. NaN or infinity
        in a message to such layers makes a gradient of their parameters wrong, unless a ReLU multiplies it by 0.
        """
        tape = self._tape
        return isinstance(tape, ChainTape | KickTape) or (isinstance(tape, LossTape) and tape.shows_nan)

    def forget(self) -> None:
        """Drop the data that the last query kept for responses, if fewer responses were asked than expected."""
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

    def _begun(self, function: Callable[..., Any], begin: Callable[[int], None]) -> Callable[..., Any]:  # Any: outputs
        def seeded(*inputs: Tensor) -> Any:  # Any: outputs
            begin(self._round)
            return function(*inputs)

        return seeded

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


def _rows(function: object, outputs: Sequence[tuple[tuple[int, ...], torch.dtype]]) -> int:
    """The largest number of vectors in an output of one call; of a scan, in an output of one call of its cell."""
    leading = [shape[:1] if getattr(function, "is_scan", False) else shape[:-1] for shape, _ in outputs]
    return max(map(math.prod, leading), default=0)


def _has_several_layers(function: object) -> bool:
    """Whether a backward pass to the parameters of a module goes through other layers with parameters."""
    return isinstance(function, nn.Module) and sum(bool(each._parameters) for each in function.modules()) > 1
