"""Where a response goes wrong: the node of R that is told what is right, and tells what is wrong."""

import functools
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.checks.alone import Alone
from antiphon.checks.witness import Witnessed
from antiphon.grammars.guarantee import PlayerLoss
from antiphon.grammars.maps import add
from antiphon.grammars.query import Node, Port
from antiphon.grammars.response import PARAMETERS, Map, Product, Seed

SAME = 1e-8
"""Relative difference up to which a message is the reference's."""


def locate(round: Witnessed, player: str, loss: PlayerLoss | None) -> tuple[str, str]:
    """(the node of R at which a response to `player` goes wrong, how, in words).

    Walks from the delivery upstream, as long as a message is wrong. Each message has its own truth, use by use: what
    arrives at an operator is the gradient of the player's loss in its output; what its `*` tells of an input or of its
    parameters is the product of that one use alone. So a player that is used twice is told apart by use.
    """
    delivery = next(each for each in round.composed.grammar.response.deliveries if each.player == player)
    gradient = torch.cat([each.reshape(-1) for each in round.composed.gradient(player, loss)])
    asked = [node for node in round.composed.grammar.query.nodes if node.owner == player]
    return _Walk(round, loss).blame(delivery.message, gradient, delivery.name, [(node, PARAMETERS) for node in asked])


@final
class _Walk:
    """One search, for one player's loss."""

    def __init__(self, round: Witnessed, loss: PlayerLoss | None) -> None:
        self._round, self._loss, self._grammar = round, loss, round.composed.grammar
        self._contributions: dict[str, list[Tensor]] = {}

    def blame(
        self, message: Port, expected: Tensor, user: str, sources: Sequence[tuple[Node, int]] = ()
    ) -> tuple[str, str]:
        """`message` is not what is expected of it where `user` takes it. sources: (node of Q, which of its inputs or
        its parameters) that add up to what is expected there."""
        node, told = self._grammar.response.by_name[message.node], self._round.messages[message]
        if _same(told, self._meaning(message)):  # right by itself, but not here
            return user, f"what arrives at {user!r} is {_compare(told, expected)}{self._lacking(user, sources)}"
        wrong = self._wrong_input(node, expected)
        if wrong is not None:
            return self.blame(*wrong)
        if isinstance(node, Product) and (silent := self._unheard(node)):
            return node.name, f"nothing arrives at {node.name!r} about {silent!r}, where a gradient is expected"
        right = f"what arrives at {node.name!r} is right, and " if node.inputs else ""
        return node.name, f"{right}what it tells is {_compare(told, expected)}"

    def _wrong_input(self, node: object, expected: Tensor) -> tuple[Port, Tensor, str, list[tuple[Node, int]]] | None:
        """(message, what it should be, who takes it, what adds up to it) of the first input that is wrong."""
        if isinstance(node, Product):
            for index, message in enumerate(node.cotangents):
                port = Port(node.of, index)
                if message is None or message not in self._round.messages or not self._is_known(port):
                    continue
                if not _same(self._round.messages[message], self._totals[port]):
                    return message, self._totals[port], node.name, self._takers(port)
        elif isinstance(node, Map):
            inputs = [each for each in node.inputs if each in self._round.messages]
            if any(_same(self._round.messages[each], expected) for each in inputs) and not _adds(node):
                return None
            for each in inputs:
                meant = self._meaning(each, through=True)
                if meant is not None and not _same(self._round.messages[each], meant):
                    return each, meant, node.name, []
        return None

    def _meaning(self, message: Port, through: bool = False) -> Tensor | None:
        """The truth of a message by itself; None where it has none, as what a map of R's own makes of others.

        through: whether a map that keeps the shape is to be worth what it takes.
        """
        node = self._grammar.response.by_name[message.node]
        if message not in self._round.messages:
            return None
        match node:
            case Seed(loss=port):
                return self._totals[port] if self._is_known(port) else None
            case Product():
                found = self._contribution(self._grammar.query.by_name[node.of])
                if message.index != PARAMETERS:
                    return found[message.index]
                count = len(self._grammar.query.by_name[node.of].inputs)
                return torch.cat([each.reshape(-1) for each in found[count:]])
            case Map() if _adds(node):
                parts = [self._meaning(each, through) for each in node.inputs if each in self._round.messages]
                known = [each for each in parts if each is not None]
                return add(*known) if known and len(known) == len(parts) else None
            case Map(inputs=(single,)) if through:
                meant = self._meaning(single, through)
                return meant if meant is not None and meant.shape == self._round.messages[message].shape else None
            case _:
                return None

    @functools.cached_property
    def _totals(self) -> dict[Port, Tensor]:
        """The gradient of the loss in every value of Q that depends on a parameter."""
        return self._round.composed.cotangents(self._round.composed.values, self._loss)

    def _contribution(self, node: Node) -> list[Tensor]:
        """The product of one use of a node alone with the true gradient of its outputs: by input, then parameter."""
        if node.name not in self._contributions:
            cotangents = [self._totals.get(Port(node.name, index)) for index in range(len(node.outputs))]
            self._contributions[node.name] = Alone(self._round, node).product(cotangents)
        return self._contributions[node.name]

    def _is_known(self, port: Port) -> bool:
        """Not a value behind which no parameter stands; nor a loss of which the player's own loss knows nothing."""
        if port not in self._totals:
            return False
        return port not in self._grammar.objective.losses or bool(self._totals[port].any())

    def _takers(self, port: Port) -> list[tuple[Node, int]]:
        nodes = self._grammar.query.nodes
        return [(node, index) for node in nodes for index, each in enumerate(node.inputs) if each == port]

    def _unheard(self, node: Product) -> Port | None:
        """An output of which the product is told nothing, although it has a gradient."""
        ports = [Port(node.of, index) for index, message in enumerate(node.cotangents) if message is None]
        return next((port for port in ports if port in self._totals and self._totals[port].any()), None)

    def _lacking(self, user: str, sources: Sequence[tuple[Node, int]]) -> str:
        """Which parts of what is expected nobody tells, in words."""
        heard = self._grammar.response.ancestors(user)
        nodes = [each for each in self._grammar.response.nodes if isinstance(each, Product) and each.name in heard]
        told = {
            (each.of, index) for each in nodes for index in (*each.toward, *([PARAMETERS] if each.parameters else []))
        }
        missing = [node.name for node, index in sources if (node.name, index) not in told and self._adds(node, index)]
        return f": it lacks the part of {missing[0]!r}" if missing else ""

    def _adds(self, node: Node, index: int) -> bool:
        if Port(node.name) not in self._round.composed.values or Port(node.name) not in self._totals:
            return False
        found = self._contribution(node)
        parts = found[len(node.inputs) :] if index == PARAMETERS else [found[index]]
        return any(bool(each.any()) for each in parts)


def _adds(node: Map) -> bool:
    return node.operation.target is add


def _compare(told: Tensor, expected: Tensor) -> str:
    scale = float(expected.abs().max())
    if not float(told.abs().max()):
        return "nothing, where a gradient is expected"
    if not scale:
        return "something, where no gradient is expected"
    if _same(told, -expected):
        return "of the opposite sign"
    factor = float((told * expected).sum() / expected.square().sum())
    if torch.isfinite(told).all() and _same(told, factor * expected):
        return f"{factor:.4g} times the gradient"
    return "another direction than the gradient"


def _same(one: Tensor, two: Tensor | None) -> bool:
    if two is None or one.shape != two.shape:
        return False
    return float((one - two).abs().max()) <= SAME * max(float(two.abs().max()), 1e-300)
