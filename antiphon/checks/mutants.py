"""Grammars whose R is broken at one place, to test whether checks notice it: the library's checks and your own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from antiphon.errors import AntiphonError, GrammarError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.maps import negate, over_batch, scale
from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, ResponseGraph, ResponseNode, Sum, Tap


def messages(grammar: Grammar) -> list[Port]:
    """Every message of R that some node uses, in R's order."""
    used = {port for node in grammar.response.nodes for port in node.inputs}
    return [port for port in grammar.message_types if port in used]


def hearers(grammar: Grammar, message: Port) -> set[str]:
    """The players whose response depends on this message."""
    response = grammar.response
    users = {node.name for node in response.nodes if message in node.inputs}
    return {each.player for each in response.deliveries if users & response.ancestors(each.name)}


def flipped(grammar: Grammar, message: Port) -> Grammar:
    """Flip a sign: every user of the message receives minus the message."""
    return through(grammar, message, negate)


def silenced(grammar: Grammar, message: Port) -> Grammar:
    """Cut an edge: every user of the message receives zeros instead."""
    return through(grammar, message, scale, factor=0.0)


def through(grammar: Grammar, message: Port, operation: Callable[..., Any], **keywords: Any) -> Grammar:
    """Pass the message through a function that keeps its shape, before any node uses it. Any: see `Factory.of`."""
    name = f"mutated {message!r}"
    inserted = Map(name, Factory.of(operation, **keywords), (message,))
    return _with(grammar, _behind(grammar, message, inserted, Port(name)))


def tapped(grammar: Grammar, message: Port, value: Port, factor: float = 1.0) -> Grammar:
    """Replace a message by a tap of a value of Q with the same shape; see `over_batch` for `factor`."""
    tap = Tap(f"mutated tap {value!r}", value)
    told = Map(f"mutated {message!r}", Factory.of(over_batch, factor=factor), (Port(tap.name),))
    return _pruned(grammar, _behind(grammar, message, tap, Port(told.name), told))


def with_operation(grammar: Grammar, name: str, operation: Callable[..., Any], **keywords: Any) -> Grammar:
    """Replace the function of one map of R, for example by a wrong gate. Any: see `Factory.of`."""
    other = Factory.of(operation, **keywords)
    nodes = (
        replace(node, operation=other) if isinstance(node, Map) and node.name == name else node
        for node in grammar.response.nodes
    )
    return _with(grammar, tuple(nodes))


def single_faults(grammar: Grammar) -> Iterator[tuple[Port, Grammar]]:
    """Each message of R flipped, then silenced: (the message, the mutated grammar)."""
    for message in messages(grammar):
        yield message, flipped(grammar, message)
        yield message, silenced(grammar, message)


def all_faults(grammar: Grammar) -> Iterator[tuple[str, Port, Grammar]]:
    """Every single fault of R: (its kind, the message that is wrong, the mutated grammar).

    Each message is flipped, silenced, halved, and transposed if its last two sizes are equal. Two messages of one type
    are swapped. A product is taken at another use of the same player. A tap of a clone's value is replaced by its
    player's value, and the other way round. A fault need not change any response.
    """
    for message in messages(grammar):
        yield "sign", message, flipped(grammar, message)
        yield "cut", message, silenced(grammar, message)
        yield "factor", message, through(grammar, message, scale, factor=0.5)
        shape = grammar.message_types[message].shape
        if len(shape) >= 2 and shape[-1] == shape[-2] and isinstance(shape[-1], int):
            yield "transposed", message, through(grammar, message, transposed)
    yield from _swaps(grammar)
    yield from _other_uses(grammar)
    yield from _other_owners(grammar)


def transposed(message: Tensor) -> Tensor:
    """Exchange the last two dimensions."""
    return message.mT.contiguous()


def _swaps(grammar: Grammar) -> Iterator[tuple[str, Port, Grammar]]:
    """Exchange two messages of one type, unless that makes a cycle."""
    response, all_messages = grammar.response, messages(grammar)
    for index, one in enumerate(all_messages):
        for two in all_messages[index + 1 :]:
            if grammar.message_types[one] != grammar.message_types[two] or one.node in response.ancestors(two.node):
                continue
            exchanged = {one: two, two: one}
            nodes = tuple(_exchanged(node, exchanged) for node in response.nodes)
            with suppress(GrammarError):  # the exchange makes a cycle
                yield "swapped", two, _with(grammar, _ordered(nodes))


def _exchanged(node: ResponseNode, by: Mapping[Port, Port]) -> ResponseNode:
    for one, two in list(by.items())[:1]:
        aside = Port("aside")
        return _rewired(_rewired(_rewired(node, one, aside), two, one), aside, two)
    return node


def _ordered(nodes: tuple[ResponseNode, ...]) -> tuple[ResponseNode, ...]:
    """The nodes sorted so that each comes after its inputs, as far as there is such an order."""
    waiting, found, known = list(nodes), list[ResponseNode](), set[str]()
    while ready := [node for node in waiting if all(port.node in known for port in node.inputs)]:
        found.append(ready[0])
        known.add(ready[0].name)
        waiting.remove(ready[0])
    return (*found, *waiting)


def _other_uses(grammar: Grammar) -> Iterator[tuple[str, Port, Grammar]]:
    """Take the product of one use of a player at another use of the same player."""
    query = grammar.query
    for node in grammar.response.nodes:
        if not isinstance(node, Product):
            continue
        here = query.by_name[node.of]
        for other in query.nodes:
            if other.owner == here.owner and other.name != here.name and other.outputs == here.outputs:
                nodes = (replace(each, of=other.name) if each is node else each for each in grammar.response.nodes)
                with suppress(AntiphonError):  # the other use is in another pass, or takes values of another type
                    yield (
                        "other use",
                        Port(node.name, PARAMETERS if node.parameters else node.toward[0]),
                        _with(grammar, tuple(nodes)),
                    )


def _other_owners(grammar: Grammar) -> Iterator[tuple[str, Port, Grammar]]:
    """Replace a tap of a player's value by its clone's value, or the other way round."""
    query = grammar.query
    family = {each.name: each.player for each in query.clones}
    for node in grammar.response.nodes:
        if not isinstance(node, Tap):
            continue
        here = query.by_name[node.port.node]
        for other in query.nodes:
            related = family.get(other.owner, other.owner) == family.get(here.owner, here.owner)
            if related and other.owner != here.owner and other.outputs == here.outputs:
                port = Port(other.name, node.port.index)
                nodes = (replace(each, port=port) if each is node else each for each in grammar.response.nodes)
                with suppress(AntiphonError):  # the other node is in another pass
                    yield "other owner", Port(node.name), _with(grammar, tuple(nodes))


def wrong_gate(message: Tensor) -> Tensor:
    """Pass only positive numbers: a gate where none belongs."""
    return torch.relu(message)


def _behind(
    grammar: Grammar, message: Port, first: ResponseNode, stand_in: Port, *more: ResponseNode
) -> tuple[ResponseNode, ...]:
    nodes: list[ResponseNode] = []
    for node in grammar.response.nodes:
        nodes.append(_rewired(node, message, stand_in))
        if node.name == message.node:
            nodes += [first, *more]
    return tuple(nodes)


def _rewired(node: ResponseNode, message: Port, stand_in: Port) -> ResponseNode:
    match node:
        case Product():
            return replace(node, cotangents=tuple(stand_in if port == message else port for port in node.cotangents))
        case Sum() | Map():
            return replace(node, inputs=tuple(stand_in if port == message else port for port in node.inputs))
        case Deliver():
            return replace(node, message=stand_in) if node.message == message else node
        case _:
            return node


def _pruned(grammar: Grammar, nodes: tuple[ResponseNode, ...]) -> Grammar:
    """Remove nodes that lead to no delivery, and outputs of products that no node uses."""
    kept: list[ResponseNode] = []
    used: set[Port] = set()
    for node in reversed(nodes):
        if isinstance(node, Product):
            toward = tuple(index for index in node.toward if Port(node.name, index) in used)
            node = replace(node, toward=toward, parameters=node.parameters and Port(node.name, -1) in used)
        if isinstance(node, Deliver) or any(port.node == node.name for port in used):
            kept.append(node)
            used.update(node.inputs)
    return _with(grammar, tuple(reversed(kept)))


def _with(grammar: Grammar, nodes: tuple[ResponseNode, ...]) -> Grammar:
    return replace(grammar, response=ResponseGraph(nodes))
