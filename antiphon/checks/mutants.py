"""Grammars whose R was broken at one place: what a check has to notice. For tests of checks, ours and yours."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.maps import negate, over_batch, scale
from antiphon.grammars.query import Port
from antiphon.grammars.response import Deliver, Map, Product, ResponseGraph, ResponseNode, Tap


def messages(grammar: Grammar) -> list[Port]:
    """Every message of R that somebody uses, in R's order."""
    used = {port for node in grammar.response.nodes for port in node.inputs}
    return [port for port in grammar.message_types if port in used]


def hearers(grammar: Grammar, message: Port) -> set[str]:
    """The players whose response depends on that message."""
    response = grammar.response
    users = {node.name for node in response.nodes if message in node.inputs}
    return {each.player for each in response.deliveries if users & response.ancestors(each.name)}


def flipped(grammar: Grammar, message: Port) -> Grammar:
    """A sign flipped: everyone who uses the message is told minus it."""
    return through(grammar, message, negate)


def silenced(grammar: Grammar, message: Port) -> Grammar:
    """An edge cut: everyone who uses the message is told zeros in its place."""
    return through(grammar, message, scale, factor=0.0)


def through(grammar: Grammar, message: Port, operation: Callable[..., Any], **keywords: Any) -> Grammar:
    """The message passes a function of it, of the same shape, before anyone uses it. Any: as `Factory.of`."""
    name = f"mutated {message!r}"
    inserted = Map(name, Factory.of(operation, **keywords), (message,))
    return _with(grammar, _behind(grammar, message, inserted, Port(name)))


def tapped(grammar: Grammar, message: Port, value: Port, factor: float = 1.0) -> Grammar:
    """A tap in the place of a product: in the message's place stands a value of Q of its shape, over the batch."""
    tap = Tap(f"mutated tap {value!r}", value)
    told = Map(f"mutated {message!r}", Factory.of(over_batch, factor=factor), (Port(tap.name),))
    return _pruned(grammar, _behind(grammar, message, tap, Port(told.name), told))


def with_operation(grammar: Grammar, name: str, operation: Callable[..., Any], **keywords: Any) -> Grammar:
    """Another function at one map of R, a wrong gate for example. Any: as `Factory.of`."""
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


def wrong_gate(message: Tensor) -> Tensor:
    """Only what is positive passes: a gate at a place where none belongs."""
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
        case Map():
            return replace(node, inputs=tuple(stand_in if port == message else port for port in node.inputs))
        case Deliver():
            return replace(node, message=stand_in) if node.message == message else node
        case _:
            return node


def _pruned(grammar: Grammar, nodes: tuple[ResponseNode, ...]) -> Grammar:
    """Without what leads to no delivery any more, and products asked only for what is used."""
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
