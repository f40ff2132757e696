"""Grammar 1, backpropagation: layers are players, and each player receives its exact gradient by the chain rule
(essay, section 2.1).
"""

from collections.abc import Mapping

import torch
from torch.nn.functional import cross_entropy

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, Value, chain_rule, exact, minimise, typed
from antiphon.grammars.inference import makes_parameters


@typed
def backprop(
    nature: OracleDeclaration,
    layers: Mapping[str, Factory],
    loss: Factory = Factory(cross_entropy),
    skips: Mapping[str, str] | None = None,
) -> Grammar:
    """Make the grammar of backpropagation in a feedforward network whose layers are players and which minimises one
    loss.

    nature: an oracle whose first question answers (x, y). layers: the layers by name, in order. A factory that makes
    parameters is a player; any other (max-pooling, a rectifier) is an operator. skips: layer -> an earlier layer (or
    "x") whose output is added to the output of the layer, as in residual networks. loss: a function of (output, y) that
    returns a mean over the batch.
    """
    q = QueryDraft()
    x, y = q.oracle("Nature", nature)()
    played: dict[str, Value] = {"x": x}
    for name, factory in layers.items():
        x = _layer(q, name, factory, x)
        if skips and name in skips:
            x = q.operator(f"{name} + {skips[name]}", torch.add)(x, played[skips[name]])
        played[name] = x
    objective = minimise(q.loss("Loss", loss)(x, y))
    return Grammar("backprop", q.graph(), chain_rule(q, objective), objective, exact())


def _layer(q: QueryDraft, name: str, factory: Factory, x: Value) -> Value:
    declare = q.player if makes_parameters(factory, f"layer {name!r}") else q.operator
    return declare(name, factory)(x)
