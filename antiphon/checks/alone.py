"""Compute a single node of Q, or a single map of R, again at the values of a recorded round."""

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
    """Computes one node of Q without the other nodes, and without other uses of the same player.

    inputs: the input values of the node in that round.
    parameters: the learned parameters of the node's player; empty for an oracle or an operator.
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
        """Return the node's outputs for these inputs.

        Every call draws the same random numbers, and leaves the module's state unchanged.
        parameters: replace the player's parameters during the call; None keeps them.
        mode: a torch function mode that is active during the computation.
        """
        with self._standing_in(parameters):
            with mode or nullcontext():
                found = self._played(inputs)
            # An output may be a view of a parameter, which is about to be put back.
            return found if parameters is None else tuple(each.detach().clone() for each in found)

    def product(self, cotangents: Sequence[Tensor | None], moving: Collection[int] | None = None) -> list[Tensor]:
        """Return torch's vector-Jacobian product: one tensor for each input, then one for each parameter.

        cotangents: one for each output; None leaves that output out.
        moving: indices of the inputs to differentiate; all by default. The product for the other inputs is zero.
        """
        leaves = self.leaves(range(len(self.inputs)) if moving is None else moving)
        with self._standing_in(None):  # around the product too: it may need a buffer as the query left it
            return self._product(self._played(leaves), leaves, cotangents)

    def leaves(self, moving: Collection[int], inputs: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return copies of these inputs (by default, of the node's inputs in the round).

        A copy requires a gradient if its index is in `moving` and its dtype is floating-point or complex.
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
        """Replace the values of the parameters inside the context, and restore the module's state afterwards.

        Values are written through `.data`, so the autograd graph of the round stays valid.
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
    """Return the name of the first map of R, upstream of a player's delivery, that keeps a state between rounds.

    Each map that a user wrote is made anew and called again with the same messages and random draws. If the output
    differs from that of the round, the map keeps a state. Returns "" if there is no such map.
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
