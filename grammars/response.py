"""The Response graph: which messages are sent to which players after the queries (essay, Definition 7)."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from antiphon.errors import BlackBoxError, GrammarError, ShapeError
from antiphon.grammars.differentiable import refuse_once_differentiable
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import infer, make_operator
from antiphon.grammars.maps import Linearity
from antiphon.grammars.oracle import Box
from antiphon.grammars.query import Kind, Port, QueryGraph
from antiphon.grammars.truncation import Truncation
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType, Order
from antiphon.grammars.walks import reached

PARAMETERS = -1
"""The port index of a product's output for the player: one vector over all of the player's parameters."""


@dataclass(frozen=True)
class Seed:
    """The node of a Response graph where gradients start: the gradient of the objective with respect to one loss.

    It is the constant `weight`: +1 to minimise the loss, -1 to maximise it.
    """

    name: str
    loss: Port
    weight: float = 1.0

    inputs: tuple[Port, ...] = ()

    def __repr__(self) -> str:
        return f"{self.name} = seed {self.weight:+g} at {self.loss!r}"


@dataclass(frozen=True)
class Product:
    """Operator `*`: the vector-Jacobian product of one node of the Query graph, at its last inputs (essay, section 2).

    of: the node of the Query graph. cotangents: one message per output of that node, None for an output without a
    message. toward: the inputs of that node whose gradient is needed. Output i of this product is the gradient of input
    i of the node. parameters: whether the gradient of the player's parameters, output `PARAMETERS`, is needed. It is a
    sum over the batch and not a mean, because losses are means and their gradients contain the factor 1 / batch
    already. truncation: for a node that is a scan of a player, the steps through which errors flow back; None for all
    steps.
    """

    name: str
    of: str
    cotangents: tuple[Port | None, ...]
    toward: tuple[int, ...]
    parameters: bool
    truncation: Truncation | None = None

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The messages that the product takes: its cotangents that are not None."""
        return tuple(port for port in self.cotangents if port is not None)

    def __repr__(self) -> str:
        inputs = ", ".join("-" if port is None else _port(port) for port in self.cotangents)
        outputs = [f"input {index}" for index in self.toward] + (["parameters"] if self.parameters else [])
        way = "" if self.truncation is None else f", by {self.truncation!r}"
        return f"{self.name} = {self.of} * ({inputs}) -> {', '.join(outputs)}{way}"


@dataclass(frozen=True)
class Tap:
    """A value of the Query graph that the Response graph sends on unchanged: a value, not a gradient."""

    name: str
    port: Port

    inputs: tuple[Port, ...] = ()

    def __repr__(self) -> str:
        return f"{self.name} = tap {self.port!r}"


@dataclass(frozen=True)
class Sum:
    """The sum of several messages of one type. A message is left out in rounds in which it is not computed."""

    name: str
    inputs: tuple[Port, ...]

    @staticmethod
    def total(*messages: Tensor) -> Tensor:
        """Return the sum of the messages, added from first to last.

        The fixed order makes rounding the same everywhere.
        """
        return functools.reduce(torch.add, messages)

    def __repr__(self) -> str:
        return f"{self.name} = sum ({', '.join(map(_port, self.inputs))})"


@dataclass(frozen=True)
class Map:
    """A fixed function of messages, such as a negation.

    It is not computed in rounds in which one of its inputs is missing.
    """

    name: str
    operation: Factory
    inputs: tuple[Port, ...]

    @property
    def linear(self) -> Linearity | None:
        """The `Linearity` that the function declared with the decorator `maps.linear`; None without a declaration."""
        declared = getattr(self.operation.target, "linear", None)
        return declared if isinstance(declared, Linearity) else None

    def __repr__(self) -> str:
        return f"{self.name} = {self.operation} ({', '.join(map(_port, self.inputs))})"


@dataclass(frozen=True)
class Deliver:
    """The node of a Response graph that delivers a message to a player: the player's response (gradient) for its
    next move.
    """

    player: str
    message: Port

    @property
    def name(self) -> str:
        """The name of the node, made of the player's name."""
        return f"deliver {self.player}"

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The delivered message, as a tuple with one item."""
        return (self.message,)

    def __repr__(self) -> str:
        return f"{self.player} receives {_port(self.message)}"


ResponseNode: TypeAlias = Seed | Product | Tap | Sum | Map | Deliver


def _port(port: Port) -> str:
    return f"{port.node}.parameters" if port.index == PARAMETERS else repr(port)


def redirected(node: ResponseNode, other: Callable[[Port], Port]) -> ResponseNode:
    """Return a copy of a node of the Response graph that takes other messages.

    other: a function from each message to the message that replaces it.
    """
    match node:
        case Product():
            places = (None if port is None else other(port) for port in node.cotangents)
            return replace(node, cotangents=tuple(places))
        case Sum() | Map():
            return replace(node, inputs=tuple(map(other, node.inputs)))
        case Deliver():
            return replace(node, message=other(node.message))
        case _:
            return node


@typed
@dataclass(frozen=True)
class ResponseGraph:
    """A frozen Response graph: its nodes, in the order in which they are computed.

    It refers to its Query graph by names of nodes only. A `Grammar` holds both graphs and checks that they fit.
    Raises GrammarError for a name used twice, a message that no node sends, or a cycle.
    """

    nodes: tuple[ResponseNode, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        names = {node.name for node in self.nodes}
        for node in self.nodes:
            for port in node.inputs:
                if port.node not in names:
                    raise GrammarError(
                        f"response node {node.name!r} takes {_port(port)!r}, which no node of this Response graph "
                        f"sends; expected one of {sorted(names)}. Add the node, or connect another message."
                    )
                if port.node not in seen:
                    raise GrammarError(
                        f"response node {node.name!r} takes {_port(port)!r}, which is computed later or depends on "
                        f"{node.name!r} itself: a cycle. Expected every message to be computed before it is used; "
                        "order the nodes by dependence."
                    )
            if node.name in seen:
                raise GrammarError(
                    f"name {node.name!r} is used twice in the Response graph; expected one node of that name, and one "
                    "delivery per player. Rename one, or add the two messages before they are delivered."
                )
            seen.add(node.name)

    @functools.cached_property
    def by_name(self) -> Mapping[str, ResponseNode]:
        """Every node by its name."""
        return {node.name: node for node in self.nodes}

    @property
    def deliveries(self) -> tuple[Deliver, ...]:
        """The nodes that deliver a message to a player, one per player."""
        return tuple(node for node in self.nodes if isinstance(node, Deliver))

    def ancestors(self, *names: str) -> frozenset[str]:
        """Return the names of all nodes on which the messages of the nodes `names` depend, including `names`."""
        return reached(names, lambda name: [port.node for port in self.by_name[name].inputs])

    def types(self, query: QueryGraph) -> Mapping[Port, EdgeType]:
        """Return the type of every message, by port.

        Raises ShapeError, BlackBoxError or GrammarError if this Response graph does not fit the Query graph.
        """
        types: dict[Port, EdgeType] = {}
        for node in self.nodes:
            _type_node(node, query, types)
        _refuse_wrong_truncations(self.nodes, query)
        return types

    def __repr__(self) -> str:
        return "R:\n" + "\n".join(f"  {node!r}" for node in self.nodes)


def asked_by(node: ResponseNode) -> tuple[str, ...]:
    """Return the names of the nodes of the Query graph that a node of the Response graph reads, besides its
    messages.
    """
    match node:
        case Seed(loss=port) | Tap(port=port):
            return (port.node,)
        case Product(of=of):
            return (of,)
        case Sum() | Map() | Deliver():
            return ()


def _type_node(node: ResponseNode, query: QueryGraph, types: dict[Port, EdgeType]) -> None:
    for name in asked_by(node):
        if name not in query.by_name:
            raise GrammarError(
                f"response node {node.name!r} refers to {name!r}, which the Query graph does not ask; expected one of "
                f"{sorted(query.by_name)}. Refer to one of these."
            )
    for port in node.inputs:
        if port not in types:
            known = [_port(each) for each in types if each.node == port.node]
            raise GrammarError(
                f"response node {node.name!r} takes {_port(port)!r}, which {port.node!r} does not send; "
                f"expected one of {known}. Ask {port.node!r} for it, or connect another message."
            )
    match node:
        case Seed():
            types[Port(node.name)] = _seed_type(node, query)
        case Tap():
            types[Port(node.name)] = query.type_of(node.port)
        case Product():
            types.update(_product_types(node, query, types))
        case Sum():
            types[Port(node.name)] = _sum_type(node, query, types)
        case Map():
            types[Port(node.name)] = _map_type(node, query, types)
        case Deliver():
            _check_delivery(node, query, types)


def _seed_type(node: Seed, query: QueryGraph) -> EdgeType:
    kind = query.by_name[node.loss.node].kind
    if kind is not Kind.LOSS:
        raise GrammarError(
            f"response node {node.name!r} seeds {node.loss!r}, which is a {kind}; expected a loss. "
            "Declare it with `loss`, so that it is a scalar."
        )
    return query.type_of(node.loss).of_order(Order.FIRST)


def _product_types(node: Product, query: QueryGraph, types: Mapping[Port, EdgeType]) -> dict[Port, EdgeType]:
    of = query.by_name[node.of]
    if query.box_of(of) is Box.BLACK:
        raise BlackBoxError(
            f"response node {node.name!r} asks oracle {of.owner!r} for a gradient of its answer {of.question!r}; "
            "expected a gray box, but it is a black box and answers values only. Cut this message, tap the value "
            "instead, or let a player estimate the gradient."
        )
    refuse_once_differentiable(node.name, query, of)
    if len(node.cotangents) != len(of.outputs) or not node.inputs:
        raise ShapeError(
            f"response node {node.name!r} multiplies {len(node.inputs)} messages at {node.of!r}, which has "
            f"{len(of.outputs)} outputs; expected a place per output and at least one message. Name None for the rest."
        )
    for output, cotangent in zip(of.outputs, node.cotangents, strict=True):
        if cotangent is not None and not types[cotangent].composes_with(output, query.sizes):
            raise ShapeError(
                f"message {_port(cotangent)!r} is {types[cotangent]!r}, but {node.of!r} plays {output!r}; expected a "
                "cotangent of the shape and dtype of the output. Map it to that shape."
            )
    if bad := [index for index in node.toward if not 0 <= index < len(of.inputs)]:
        raise GrammarError(
            f"response node {node.name!r} asks for the gradient of input {bad[0]} of {node.of!r}, which has "
            f"{len(of.inputs)}; expected one of {list(range(len(of.inputs)))}. Ask for one of these."
        )
    found = {Port(node.name, index): query.type_of(of.inputs[index]).of_order(Order.FIRST) for index in node.toward}
    for port, kind in found.items():
        if not kind.has_gradient:
            raise GrammarError(
                f"response node {node.name!r} asks for the gradient of input {port.index} of {node.of!r}, which is "
                f"{kind!r}; expected real or complex numbers, since integers have no gradient. Do not ask for it."
            )
    if node.parameters:
        if not of.learned:
            raise GrammarError(
                f"response node {node.name!r} asks {of.kind} {of.owner!r} for a gradient of its parameters; expected a "
                "player, because only players have parameters. Ask for its inputs only."
            )
        found[Port(node.name, PARAMETERS)] = query.player_by_name[of.owner].space.of_order(Order.FIRST)
    return found


def _refuse_wrong_truncations(nodes: Sequence[ResponseNode], query: QueryGraph) -> None:
    """Raise GrammarError for a truncated product of a node that is no player's scan, or truncated in two ways."""
    found: dict[str, Truncation | None] = {}
    for node in nodes:
        if not isinstance(node, Product):
            continue
        of = query.by_name[node.of]
        if node.truncation is not None and (of.kind is not Kind.PLAYER or query.steps_of(of) is None):
            raise GrammarError(
                f"response node {node.name!r} truncates the product of {node.of!r}, which has no steps; expected a "
                "player whose module is a `scan`. Declare it with `scan`, or leave the product whole."
            )
        if found.setdefault(node.of, node.truncation) != node.truncation:
            raise GrammarError(
                f"response node {node.name!r} takes the product of {node.of!r} by {node.truncation!r}, and another "
                f"node by {found[node.of]!r}; expected one truncation for all products of a node. Give both the same."
            )


def _sum_type(node: Sum, query: QueryGraph, types: Mapping[Port, EdgeType]) -> EdgeType:
    first, *others = (types[port] for port in node.inputs)
    for port, other in zip(node.inputs[1:], others, strict=True):
        if not other.composes_with(first, query.sizes):
            raise ShapeError(
                f"response node {node.name!r} adds {_port(node.inputs[0])!r}, which is {first!r}, and {_port(port)!r}, "
                f"which is {other!r}; expected messages of one shape and dtype. Map one of them to the other's shape."
            )
    return first.of_order(_order([first, *others]))


def _order(inputs: Sequence[EdgeType]) -> Order:
    return Order.FIRST if any(each.order is Order.FIRST for each in inputs) else Order.ZEROTH


def _map_type(node: Map, query: QueryGraph, types: Mapping[Port, EdgeType]) -> EdgeType:
    inputs = [types[port] for port in node.inputs]
    outputs = infer(f"response node {node.name!r}", make_operator, node.operation, inputs, query.sizes).outputs
    if len(outputs) != 1:
        raise ShapeError(
            f"response node {node.name!r} sends {len(outputs)} messages; expected one. Use a map for each of them."
        )
    return outputs[0].of_order(_order(inputs))


def stranger(name: str, query: QueryGraph) -> GrammarError:
    """Return the error of a delivery to a name that is no player's."""
    return GrammarError(
        f"a message is delivered to {name!r}, which is no player of the Query graph; "
        f"expected one of {sorted(query.player_by_name)}. Deliver it to one of these."
    )


def _check_delivery(node: Deliver, query: QueryGraph, types: Mapping[Port, EdgeType]) -> None:
    player = query.player_by_name.get(node.player)
    if player is None:
        raise stranger(node.player, query)
    if not types[node.message].composes_with(player.space):
        raise ShapeError(
            f"player {node.player!r} receives {_port(node.message)!r} of type {types[node.message]!r}; expected "
            f"{player.space!r}, one number per parameter. Deliver a product's `parameters`, or a map of that shape."
        )
