"""Builds a Response graph (R) node by node: for a user who defines R, and for the function `chain_rule`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from antiphon.errors import GrammarError
from antiphon.grammars.draft import Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.no_tensor import NoTensor
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.response import (
    PARAMETERS,
    Deliver,
    Map,
    Product,
    ResponseGraph,
    ResponseNode,
    Seed,
    Sum,
    Tap,
    stranger,
)
from antiphon.grammars.truncation import Truncation
from antiphon.grammars.typed import typed


@typed
@dataclass(frozen=True)
class Message(NoTensor):
    """One message of a draft of a Response graph. Pass it to the draft's methods to draw an edge."""

    _remedy = "Write a map, such as r.map(antiphon.grammars.scale, message, factor=-1.0)."

    port: Port

    def __repr__(self) -> str:
        return f"message {self.port!r}"


@dataclass(frozen=True)
class ProductHandle:
    """A vector-Jacobian product (operator `*`) in a draft of a Response graph.

    Its outputs are the gradients of the node's inputs and of the player's parameters. Only outputs that are used are
    computed.
    """

    draft: "ResponseDraft"
    name: str

    def __repr__(self) -> str:
        return f"product {self.name}"

    @property
    def parameters(self) -> Message:
        """The gradient of the player's parameters: the message to the player, one vector over all parameters."""
        return Message(Port(self.name, PARAMETERS))

    def toward(self, index: int = 0) -> Message:
        """Return the gradient with respect to input `index` of the node whose product this is, as a message."""
        return Message(Port(self.name, index))


@typed
class ResponseDraft:
    """A Response graph that is being written for a Query graph.

    `graph()` drops nodes that lead to no delivery. Nodes that need no vector-Jacobian product come first: taps (values
    that are sent on unchanged), and functions and sums of taps. So their messages are sent before the products are
    computed.
    """

    def __init__(self, query: QueryGraph) -> None:
        self.query = query
        self._nodes: list[ResponseNode] = []
        self._names: set[str] = set()
        self._delivered: dict[str, list[Message]] = {}

    def seed(self, loss: Value | Port, weight: float = 1.0) -> Message:
        """Add a node that starts the gradients: the gradient of the objective with respect to a loss, the constant
        `weight`.
        """
        port = port_of(loss)
        return self._add(Seed(self._free(f"d {port.node}"), port, weight))

    def product(
        self, of: Value | Port | str, *cotangents: Message | None, truncation: Truncation | None = None
    ) -> ProductHandle:
        """Add the vector-Jacobian product (operator `*`) of a node of the Query graph, and return its handle.

        of: the node, or one of its outputs. cotangents: one message (or None) per output of the node. truncation: for a
        scan, the steps through which errors flow back; None for all.
        """
        name = of if isinstance(of, str) else port_of(of).node
        inputs = self.query.by_name[name].inputs if name in self.query.by_name else ()
        ports = tuple(None if each is None else _heard(each) for each in cotangents)
        node = Product(self._free(f"{name} *"), name, ports, tuple(range(len(inputs))), True, truncation)
        return ProductHandle(self, self._add(node).port.node)

    def tap(self, value: Value | Port) -> Message:
        """Add a message that is a value of the Query graph, unchanged."""
        port = port_of(value)
        return self._add(Tap(self._free(f"tap {port!r}"), port))

    def map(self, operation: Callable[..., Any], *messages: Message, name: str = "", **keywords: Any) -> Message:
        """Add a fixed function of messages, and return its result as a message.

        operation: the function; it takes the messages and then `keywords`.
        """
        factory = Factory.of(operation, **keywords)
        base = name or str(getattr(factory.target, "__name__", factory.target))
        return self._add(Map(self._free(base), factory, tuple(map(_heard, messages))))

    def sum(self, *messages: Message, name: str = "sum") -> Message:
        """Add the sum of messages of one type, from first to last. A single message is returned as it is."""
        ports = tuple(map(_heard, messages))
        return messages[0] if len(ports) == 1 else self._add(Sum(self._free(name), ports))

    def deliver(self, player: str, message: Message) -> None:
        """Deliver this message to the player, as the gradient for its next move.

        Several messages to one player are added, in the order of the calls.
        """
        if player not in self.query.player_by_name:
            raise stranger(player, self.query)
        told = self._delivered.setdefault(player, [])
        told.append(Message(_heard(message)))
        self._nodes = [node for node in self._nodes if not isinstance(node, Deliver) or node.player != player]
        self._add(Deliver(player, self.sum(*told, name=f"sum for {player}").port))

    @typed
    def adopt(self, node: ResponseNode) -> dict[Port, Message]:
        """Add a copy of a node of another Response graph, under a free name.

        Returns the new messages by the ports of the original node.
        """
        new = node if isinstance(node, Deliver) else replace(node, name=self._free(node.name))
        self._add(new)
        indices = (*node.toward, PARAMETERS) if isinstance(node, Product) else (0,)
        return {Port(node.name, index): Message(Port(new.name, index)) for index in indices}

    def graph(self) -> ResponseGraph:
        """Return the frozen Response graph, in the order of computation.

        It has no nodes that lead to no delivery, and no unused outputs of products.
        """
        ResponseGraph(tuple(self._nodes))  # raises for unknown messages, before nodes are dropped
        used: set[Port] = set()
        kept: list[ResponseNode] = []
        for node in reversed(self._nodes):
            if isinstance(node, Product):
                toward = tuple(index for index in node.toward if Port(node.name, index) in used)
                node = replace(node, toward=toward, parameters=Port(node.name, PARAMETERS) in used)
                needed = bool(toward) or node.parameters
            else:
                needed = isinstance(node, Deliver) or Port(node.name) in used
            if needed:
                kept.append(node)
                used.update(node.inputs)
        kept.reverse()
        early: set[str] = set()
        for node in kept:
            tapped = isinstance(node, Map | Sum) and all(port.node in early for port in node.inputs)
            if isinstance(node, Tap) or tapped:
                early.add(node.name)
        return ResponseGraph(tuple(sorted(kept, key=lambda node: node.name not in early)))

    def _add(self, node: ResponseNode) -> Message:
        self._nodes.append(node)
        self._names.add(node.name)
        return Message(Port(node.name))

    def _free(self, name: str) -> str:
        if name not in self._names:
            return name
        return next(each for index in range(2, len(self._names) + 3) if (each := f"{name}#{index}") not in self._names)


def _heard(message: Message) -> Port:
    if isinstance(message, Message):
        return message.port
    raise GrammarError(
        f"a Response graph was given {message!r}, a {type(message).__name__}, as a message; expected what a seed, a "
        "tap, a map or a part of a product returned. Tap a value of the Query graph; ask a product `toward` an input, "
        "or for its `parameters`."
    )


def port_of(value: Value | Port) -> Port:
    """Return the port of a value of the Query graph. Raises GrammarError for anything else."""
    if isinstance(value, Value):
        return value.port
    if isinstance(value, Port):
        return value
    raise GrammarError(
        f"a Response graph was given {value!r}, a {type(value).__name__}; expected a value of the Query graph. "
        "Pass what a node of the Query draft returned."
    )
