"""The gated game of a rectifier network: its players are the units, each playing in the rounds in which it is active.

Balduzzi (2016), Deep online convex optimization with gated games.
"""

from collections.abc import Mapping

from torch import nn

from antiphon.grammars import Factory, Grammar, OracleDeclaration, chain_rule, exact, typed
from antiphon.grammars.library.backprop import backprop
from antiphon.grammars.regrouping import refine, units


@typed
def gated_game(
    nature: OracleDeclaration, layers: Mapping[str, Factory], loss: Factory = Factory(nn.functional.mse_loss)
) -> Grammar:
    """Make the grammar of backpropagation whose players are the units of a network.

    The response of a unit is linear in the unit's weights: its loss is the product of the weights and the response. In
    a round in which a rectifier outputs zero for all examples, the response of its unit is zero.
    nature: an oracle whose first question answers (x, y), one example each for online learning. layers: dense layers,
    such as those of `dense_layers`. loss: a function of (output, y) that returns a mean over the batch.
    """
    network = backprop(nature, layers, loss)
    q = refine(network, *(player.name for player in network.query.players), into=units).grammar.query
    return Grammar("gated-game", q, chain_rule(q, network.objective), network.objective, exact())
