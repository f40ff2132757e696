"""Mutation testing: make grammars with one fault in their Response graph (R), to test whether a check finds it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

import torch
from torch import Tensor

from antiphon.errors import AntiphonError
from antiphon.grammars import Factory, Grammar, Port, ResponseGraph
from antiphon.grammars.maps import negate, over_batch, scale
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, ResponseNode, Tap, redirected


def messages(grammar: Grammar) -> list[Port]:
    """Return the ports of all messages of the Response graph that at least one node uses, in the order of the graph."""
    used = {port for node in grammar.response.nodes for port in node.inputs}
    return [port for port in grammar.message_types if port in used]


def hearers(grammar: Grammar, message: Port) -> set[str]:
    """Return the names of the players whose response depends on a message."""
    response = grammar.response
    users = {node.name for node in response.nodes if message in node.inputs}
    return {each.player for each in response.deliveries if users & response.ancestors(each.name)}


def flipped(grammar: Grammar, message: Port) -> Grammar:
    """Return the grammar with a fault: every node that takes the message receives minus the message."""
    return through(grammar, message, negate)


def silenced(grammar: Grammar, message: Port) -> Grammar:
    """Return the grammar with a fault: every node that takes the message receives zeros instead."""
    return through(grammar, message, scale, factor=0.0)


def through(grammar: Grammar, message: Port, operation: Callable[..., Any], **keywords: Any) -> Grammar:
    """Return the grammar with a fault: every node that takes the message receives operation(message) instead.

    operation: a function that keeps the shape of the message. keywords: its further arguments, of any type.
    """
    name = f"mutated {message!r}"
    inserted = Map(name, Factory.of(operation, **keywords), (message,))
    return _with(grammar, _behind(grammar, message, inserted, Port(name)))


def tapped(grammar: Grammar, message: Port, value: Port, factor: float = 1.0) -> Grammar:
    """Return the grammar with a fault: a value of the Query graph replaces a message of the same shape.

    The value is multiplied by `factor` / batch size.
    """
    tap = Tap(f"mutated tap {value!r}", value)
    told = Map(f"mutated {message!r}", Factory.of(over_batch, factor=factor), (Port(tap.name),))
    return _pruned(grammar, _behind(grammar, message, tap, Port(told.name), told))


def with_operation(grammar: Grammar, name: str, operation: Callable[..., Any], **keywords: Any) -> Grammar:
    """Return the grammar with another function in the `Map` node `name` of its Response graph.

    operation: the new function. keywords: further arguments of the new function, of any type.
    """
    other = Factory.of(operation, **keywords)
    return _with(
        grammar,
        (
            replace(node, operation=other) if isinstance(node, Map) and node.name == name else node
            for node in grammar.response.nodes
        ),
    )


def single_faults(grammar: Grammar) -> Iterator[tuple[Port, Grammar]]:
    """Yield two faulty grammars for each message: one with the message's sign flipped, one with zeros instead of it.

    Yields (port of the message, faulty grammar).
    """
    for message in messages(grammar):
        yield message, flipped(grammar, message)
        yield message, silenced(grammar, message)


def all_faults(grammar: Grammar) -> Iterator[tuple[str, Port, Grammar]]:
    """Yield (kind of fault, wrong message, faulty grammar) for every single fault of the Response graph.

    Faults of a message: its sign is flipped; it is replaced by zeros, halved, or transposed (if its last two sizes are
    equal); it is exchanged with another message of the same type. Faults of a node: a vector-Jacobian product belongs
    to another call of the same player; the value of a player is read instead of its clone's, or the reverse. Some
    faults change no response.
    """
    for message in messages(grammar):
        yield "sign", message, flipped(grammar, message)
        yield "cut", message, silenced(grammar, message)
        yield "factor", message, through(grammar, message, scale, factor=0.5)
        shape = grammar.message_types[message].shape
        if len(shape) >= 2 and shape[-1] == shape[-2] and isinstance(shape[-1], int):
            yield "transposed", message, through(grammar, message, transposed)
    yield from _swaps(grammar)
    yield from _other_nodes(grammar)


def transposed(message: Tensor) -> Tensor:
    """Return a message with its last two dimensions exchanged."""
    return message.mT.contiguous()


def _swaps(grammar: Grammar) -> Iterator[tuple[str, Port, Grammar]]:
    """Yield a faulty grammar for each pair of messages of the same type: the two messages are exchanged.

    Pairs whose exchange would make a cycle are skipped. Yields ("swapped", second message, faulty grammar).
    """
    for one, two in itertools.combinations(messages(grammar), 2):
        upstream = one.node in grammar.response.ancestors(two.node)
        if grammar.message_types[one] == grammar.message_types[two] and not upstream:
            nodes = {node.name: _rewired(node, {one: two, two: one}) for node in grammar.response.nodes}
            inputs = {name: [port.node for port in node.inputs] for name, node in nodes.items()}
            with suppress(CycleError):
                yield "swapped", two, _with(grammar, [nodes[name] for name in TopologicalSorter(inputs).static_order()])


def _other_nodes(grammar: Grammar) -> Iterator[tuple[str, Port, Grammar]]:
    """Yield faulty grammars in which a node of the Response graph refers to a wrong node of the Query graph.

    A vector-Jacobian product refers to another call of the same player, or a `Tap` reads the value of a player instead
    of the value of its clone, or the reverse. Yields (kind of fault, wrong message, faulty grammar).
    """
    query = grammar.query
    family = {each.name: each.player for each in query.clones}
    for node, other in itertools.product(grammar.response.nodes, query.nodes):
        match node:
            case Product(of=of):
                here, kind, changed = query.by_name[of], "other use", {"of": other.name}
                told = Port(node.name, PARAMETERS if node.parameters else node.toward[0])
                fits = other.owner == here.owner and other.name != here.name
            case Tap(port=port):
                here, kind, changed = query.by_name[port.node], "other owner", {"port": Port(other.name, port.index)}
                told, names = Port(node.name), (other.owner, here.owner)
                fits = names[0] != names[1] and len({family.get(each, each) for each in names}) == 1
            case _:
                continue
        if fits and other.outputs == here.outputs:
            nodes = [replace(each, **changed) if each is node else each for each in grammar.response.nodes]
            with suppress(AntiphonError):  # the other node is in another pass, or takes values of another type
                yield kind, told, _with(grammar, nodes)


def wrong_gate(message: Tensor) -> Tensor:
    """Return a message with its negative numbers set to zero. Tests insert this function as a fault."""
    return torch.relu(message)


def _behind(
    grammar: Grammar, message: Port, first: ResponseNode, stand_in: Port, *more: ResponseNode
) -> list[ResponseNode]:
    nodes: list[ResponseNode] = []
    for node in grammar.response.nodes:
        nodes.append(_rewired(node, {message: stand_in}))
        if node.name == message.node:
            nodes += [first, *more]
    return nodes


def _rewired(node: ResponseNode, other: Mapping[Port, Port]) -> ResponseNode:
    return redirected(node, lambda port: other.get(port, port))


def _pruned(grammar: Grammar, nodes: Sequence[ResponseNode]) -> Grammar:
    """Return the grammar with `nodes` as its Response graph, without nodes and outputs on which no response depends."""
    kept: list[ResponseNode] = []
    used: set[Port] = set()
    for node in reversed(nodes):
        if isinstance(node, Product):
            toward = tuple(index for index in node.toward if Port(node.name, index) in used)
            node = replace(node, toward=toward, parameters=node.parameters and Port(node.name, PARAMETERS) in used)
        if isinstance(node, Deliver) or any(port.node == node.name for port in used):
            kept.append(node)
            used.update(node.inputs)
    return _with(grammar, kept[::-1])


def _with(grammar: Grammar, nodes: Iterable[ResponseNode]) -> Grammar:
    return replace(grammar, response=ResponseGraph(tuple(nodes)))
