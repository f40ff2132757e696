"""Recompute one node of the Query graph (Q) or of the Response graph (R) with the values of a recorded round."""

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from antiphon.checks.recorded import RecordedRound, is_inexact
from antiphon.coordinator.streams import is_of_antiphon
from antiphon.grammars import Kind, Port
from antiphon.grammars.attributes import attributes, set_attributes
from antiphon.grammars.inference import make_operator
from antiphon.grammars.module_state import keeps_extra_state
from antiphon.grammars.query import Node
from antiphon.grammars.reference import play
from antiphon.grammars.response import Map
from antiphon.grammars.seeds import at_round, begin_streams, forked, stream


@final
class Alone:
    """Computes one node of the Query graph (Q) of a recorded round, without any other node of Q.

    inputs: the input values of the node in the recorded round.
    parameters: the learned parameters of the player that the node calls; empty for an oracle or an operator.
    """

    def __init__(self, round: RecordedRound, node: Node) -> None:
        composed = round.composed
        self.node, self._round = node, round
        self.inputs = [composed.values[port].detach() for port in node.inputs]
        player = node.kind is Kind.PLAYER
        self.parameters = composed.parameters(node.owner) if player else []
        self._module = composed.modules[node.owner] if player else None

    def play(
        self,
        inputs: Sequence[Tensor],
        parameters: Sequence[Tensor] | None = None,
        mode: TorchFunctionMode | None = None,
    ) -> tuple[Tensor, ...]:
        """Compute the recorded node with other inputs, and return its outputs.

        Every call draws the same random numbers. The state of the player's module is the same before and after a call.
        parameters: replace the player's parameters during the call; None keeps them.
        mode: a torch function mode that is active during the computation.
        """
        with self._standing_in(parameters):
            with mode or nullcontext():
                found = self._played(inputs)
            # An output may be a view of a parameter, which is about to be put back.
            return found if parameters is None else tuple(each.detach().clone() for each in found)

    def product(self, cotangents: Sequence[Tensor | None], moving: Collection[int] | None = None) -> list[Tensor]:
        """Return the node's vector-Jacobian product by torch: one tensor for each input, then one for each parameter.

        cotangents: for each output of the node, the gradient with respect to that output; None counts as zero.
        moving: indices of the inputs to differentiate; all by default. The other inputs get zeros.
        """
        leaves = self.leaves(range(len(self.inputs)) if moving is None else moving)
        with self._standing_in(None):  # around the product too: it may need a buffer as the query left it
            return self._product(self._played(leaves), leaves, cotangents)

    def leaves(self, moving: Collection[int], inputs: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return copies of `inputs` as leaves of a new autograd graph.

        inputs: tensors to copy; by default the node's inputs in the recorded round.
        moving: indices of the copies that require a gradient; integer and boolean tensors never do.
        """
        return [
            each.clone().requires_grad_(index in moving and is_inexact(each))
            for index, each in enumerate(self.inputs if inputs is None else inputs)
        ]

    def _product(
        self, outputs: Sequence[Tensor], leaves: Sequence[Tensor], cotangents: Sequence[Tensor | None]
    ) -> list[Tensor]:
        asked = [each for each in (*leaves, *self.parameters) if each.requires_grad]
        pairs = zip(outputs, cotangents, strict=True)
        told = [(one, two) for one, two in pairs if two is not None and one.requires_grad]
        if not told or not asked:
            return [torch.zeros_like(each) for each in (*leaves, *self.parameters)]
        played, said = zip(*told, strict=True)
        gradients = iter(torch.autograd.grad(played, asked, said, allow_unused=True, materialize_grads=True))
        found = (
            next(gradients) if each.requires_grad else torch.zeros_like(each) for each in (*leaves, *self.parameters)
        )
        return [each.to_dense() if each.is_sparse else each for each in found]

    def _played(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        composed, oracles = self._round.composed, {}
        if self.node.kind is Kind.ORACLE:
            declared = next(each for each in composed.grammar.query.oracles if each.name == self.node.owner)
            oracle = declared.declaration.make(stream(self._round.seed, "oracle", declared.name))
            oracle.load(self._round.before[declared.name])
            oracles[declared.name] = oracle
        values = dict(zip(self.node.inputs, inputs, strict=True))
        grammar, seed, number = composed.grammar, self._round.seed, self._round.number
        with forked():
            return play(grammar, self.node, composed.modules, oracles, values, None, seed, number)

    @contextmanager
    def _standing_in(self, parameters: Sequence[Tensor] | None) -> Iterator[None]:
        """Context manager: inside it, the player has the values `parameters`; afterwards its old state is restored.

        The values are written through `.data`, so the autograd graph of the recorded round stays valid.
        """
        module = nn.Module() if self._module is None else self._module  # not `or`: a module may have a length of 0
        held = [*self.parameters, *module.buffers()]
        before, kept = [each.detach().clone() for each in held], attributes(module)
        further = [
            (part, copy.deepcopy(part.get_extra_state())) for part in module.modules() if keeps_extra_state(part)
        ]
        for own, other in zip(self.parameters, parameters or (), strict=False):
            own.data.copy_(other)
        try:
            yield
        finally:
            for own, other in zip(held, before, strict=True):
                own.data.copy_(other)
            for part, state in further:
                part.set_extra_state(state)
            set_attributes(module, kept)


def stateful_map(round: RecordedRound, player: str) -> str:
    """Return the name of the first `Map` node that keeps a state between rounds and changes a player's response.

    Each function of a `Map` node that a user wrote is made anew and called with the messages and the random draws of
    the recorded round. If its output differs from the recorded output, the node keeps a state. Only nodes of the
    Response graph (R) on which the response to `player` depends are tested. Returns "" if none keeps a state.
    """
    response = round.composed.grammar.response
    heard = response.ancestors(f"deliver {player}")
    maps = (node for node in response.nodes if isinstance(node, Map) and node.name in heard)
    own = (node for node in maps if not is_of_antiphon(node.operation))
    return next((node.name for node in own if not _tells_the_same(round, node)), "")


def _tells_the_same(round: RecordedRound, node: Map) -> bool:
    told = round.messages.get(Port(node.name))
    if told is None:
        return True
    with forked(), torch.no_grad():
        begin_streams(at_round(stream(round.seed, "response", node.name), round.number))  # the same draws as in a run
        again = make_operator(node.operation)(*(round.messages[port] for port in node.inputs))
    return torch.allclose(told, again, rtol=1e-6, atol=0.0, equal_nan=True)
