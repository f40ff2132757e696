"""Rewrite the Response graph (R) after a player has been divided into several players (its parts).

One vector-Jacobian product of the old player becomes one vector-Jacobian product per part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from antiphon.grammars.maps import Linearity
from antiphon.grammars.query import Kind, Node, Port
from antiphon.grammars.regrouping.correspondence import Span
from antiphon.grammars.regrouping.substitution import Substitution
from antiphon.grammars.response import (
    PARAMETERS,
    Deliver,
    Map,
    Product,
    ResponseGraph,
    ResponseNode,
    Sum,
    Tap,
    redirected,
)
from antiphon.grammars.writing import Message, ResponseDraft


def retell(
    response: ResponseGraph, drawn: Substitution, player: str, parts: Mapping[str, tuple[Span, ...]]
) -> ResponseGraph:
    """Return the Response graph (R) after `player` has been divided into parts.

    Between the parts, the new R is the chain rule. All other messages stay the same.
    response: R before. drawn: the Query graph in which the parts replace the player.
    parts: for each part, the ranges of the player's parameter vector that are the part's parameters.
    """
    return _Retelling(drawn, player, parts).of(response)


class _Retelling:
    """The state of the function `retell` while it rewrites a Response graph node by node.

    told: the new message for each old message, by port.
    shares: for each old message that holds a gradient of the divided player's parameters, the new message to each part.
    """

    def __init__(self, drawn: Substitution, player: str, parts: Mapping[str, tuple[Span, ...]]) -> None:
        self.drawn, self.player, self.parts = drawn, player, parts
        self.draft = ResponseDraft(drawn.query)
        self.told: dict[Port, Message] = {}
        self.shares: dict[Port, dict[str, Message]] = {}

    def of(self, response: ResponseGraph) -> ResponseGraph:
        for node in response.nodes:
            match node:
                case Product() if node.of in self.drawn.expansions:
                    self._walk(node)
                case Deliver() if node.player == self.player:
                    for part, message in self._share(node.message).items():
                        self.draft.deliver(part, message)
                case Sum() | Map(linear=Linearity.NUMBERS) if not self.shares.keys().isdisjoint(node.inputs):
                    self._map_shares(node)
                case _:
                    self.told |= self.draft.adopt(self._copy(node))
        return self.draft.graph()

    def _copy(self, node: ResponseNode) -> ResponseNode:
        if isinstance(node, Tap):
            return replace(node, port=self.drawn.port(node.port))
        return redirected(node, lambda port: self._whole(port).port)

    def _walk(self, product: Product) -> None:
        """Replace a vector-Jacobian product of the player by products of its parts, from the outputs to the inputs."""
        expansion = self.drawn.expansions[product.of]
        said: dict[Port, list[Message]] = {}
        heard: dict[str, list[Message]] = {}
        for output, cotangent in zip(expansion.outputs, product.cotangents, strict=True):
            if cotangent is not None:
                said.setdefault(output, []).append(self._whole(cotangent))
        for node in reversed(expansion.nodes):
            self._visit(node, expansion.given, said, heard)
        for index in product.toward:
            entrance = tuple(expansion.given)[index]
            told = self._sum(said.get(entrance, ()), f"sum at {expansion.given[entrance]!r}, of {self.player}")
            self.told[Port(product.name, index)] = told or self._nothing(expansion.given[entrance])
        heard_by = {part: self._sum(heard.get(part, ()), f"sum for {part}, at {product.of}") for part in self.parts}
        self.shares[Port(product.name, PARAMETERS)] = {part: told for part, told in heard_by.items() if told}

    def _visit(
        self,
        node: Node,
        given: Mapping[Port, Port],
        said: dict[Port, list[Message]],
        heard: dict[str, list[Message]],
    ) -> None:
        ports = [Port(node.name, index) for index in range(len(node.outputs))]
        if said.keys().isdisjoint(ports):
            return
        told = self.draft.product(node.name, *(self._sum(said.get(port, ()), f"sum at {port!r}") for port in ports))
        if node.kind is Kind.PLAYER:
            heard.setdefault(node.owner, []).append(told.parameters)
        for index, port in enumerate(node.inputs):
            if self.drawn.query.type_of(given.get(port, port)).dtype.is_floating_point:
                said.setdefault(port, []).append(told.toward(index))

    def _nothing(self, value: Port) -> Message:
        """Return a message of zeros: the gradient of a value on which no output with a gradient depends."""
        return self.draft.map(torch.zeros_like, self.draft.tap(value), name=f"nothing of {value!r}")

    def _sum(self, messages: Sequence[Message], name: str) -> Message | None:
        """Return a message that is the sum of `messages`; None if there are none.

        They were collected from the last node of the Query graph to the first, and are added in the opposite order.
        """
        return self.draft.sum(*messages[::-1], name=name) if messages else None

    def _map_shares(self, node: Sum | Map) -> None:
        """Replace a `Sum` or `Map` of messages to the whole player by a `Sum` or `Map` for each part of the player."""
        inputs = [self._share(port) for port in node.inputs]
        shares: dict[str, Message] = {}
        for part in self.parts:
            messages = [share[part] for share in inputs if part in share]
            name = f"{node.name}{part.removeprefix(self.player)}"
            if messages and isinstance(node, Map):
                shares[part] = self.draft.map(node.operation, *messages, name=name)
            elif messages:
                shares[part] = self.draft.sum(*messages, name=name)
        self.shares[Port(node.name)] = shares

    def _share(self, port: Port) -> Mapping[str, Message]:
        """Return, for each part of the player, the part's slice of a message to the whole player."""
        if port in self.shares:
            return self.shares[port]
        message = self.told[port]
        return {
            part: self.draft.map(taken, message, name=f"{port.node}, for {part}", spans=spans)
            for part, spans in self.parts.items()
        }

    def _whole(self, port: Port) -> Message:
        """Return the new message for an old message.

        If the old message was divided among the parts of the player, the slices are assembled to one vector again.
        """
        if port not in self.shares:
            return self.told[port]
        shares = self.shares[port]
        spans = [self.parts[part] for part in shares]
        size = sum(span.stop - span.start for each in self.parts.values() for span in each)
        return self.draft.map(assembled, *shares.values(), name=f"{port.node}, assembled", spans=spans, size=size)


def taken(message: Tensor, spans: Sequence[Span]) -> Tensor:
    """Return the gradient of one part of a player.

    message: the gradient of the whole player, one vector. spans: the ranges of this vector that belong to the part.
    """
    return torch.cat([message[span.start : span.stop] for span in spans])


def assembled(*messages: Tensor, spans: Sequence[Sequence[Span]], size: int) -> Tensor:
    """Assemble the gradient of a whole player from the gradients of its parts.

    messages: one vector per part. spans: for each of these parts, its ranges in the vector of the whole player.
    size: length of the whole vector. Numbers outside the given ranges are zero.
    """
    whole = messages[0].new_zeros(size)
    for message, own in zip(messages, spans, strict=True):
        for span, piece in zip(own, message.split([span.stop - span.start for span in own]), strict=True):
            whole[span.start : span.stop] = piece
    return whole
