"""Random edits of a Response graph, of every sort, for tests of executors."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from antiphon.errors import GrammarError
from antiphon.grammars.chain_rule import Delivery, Upstream, chain_rule
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Guarantee
from antiphon.grammars.maps import negate, scale
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.random_grammars import Choose
from antiphon.grammars.writing import Message


def with_random_edits(grammar: Grammar, choose: Choose) -> Grammar:
    """Return the grammar with random edits in its Response graph, and without promises.

    choose: makes each random choice. A message is kept, negated, halved, cut, or replaced by a function of the gradient
    before the product (`lean`). What a player receives from one product is kept, halved or left out. If a player still
    receives nothing, the grammar is returned without edits.
    """

    takers = Counter(port for node in grammar.query.nodes for port in node.inputs)
    uses = Counter(node.owner for node in grammar.query.nodes)

    def edit(upstream: Upstream) -> Message | None:
        response, message, source = upstream.response, upstream.message, upstream.source
        ports = (Port(source.name, index) for index in range(len(source.outputs)))
        match choose(6) if source.kind is not Kind.LOSS else choose(4):
            case 0:
                return response.map(negate, message)
            case 1:
                return None if takers[upstream.value] > 1 else message
            case 2:
                return response.map(scale, message, factor=0.5)
            case 4 | 5:
                arrived = next(port for port in ports if port in upstream.arrived)
                return response.map(lean, upstream.arrived[arrived], response.tap(upstream.value))
            case _:
                return message

    def delivery(sent: Delivery) -> Message | None:
        halved = sent.response.map(scale, sent.message, factor=0.5)
        return (sent.message, halved, None if uses[sent.player] > 1 else sent.message)[choose(3)]

    response = chain_rule(grammar.query, grammar.objective, edit=edit, delivery=delivery)
    with suppress(GrammarError):
        return replace(grammar, response=response, guarantee=Guarantee())
    return replace(grammar, guarantee=Guarantee())


def lean(cotangent: Tensor, value: Tensor) -> Tensor:
    """Return tanh of a value, times one number per example: the sum of a gradient. Shape of the value."""
    weight = cotangent.flatten(1).sum(1)
    return torch.tanh(value) * weight.reshape(-1, *[1] * (value.dim() - 1))
