"""Descent in the gray-box protocol: Oracle answers the value at a point, and its gradient (essay, Definition 3)."""

import torch

from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.objective import Direction, Objective
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed


@typed
def gray_box_descent(
    oracle: OracleDeclaration, player: Factory, *, direction: Direction = Direction.MINIMISE
) -> Grammar:
    """Player plays theta; Oracle answers R(theta) and its gradient: one query of each kind per round.

    oracle: its first question takes theta, (dimension,), answers a 0-d value, and is gray.
    player: a module without inputs that plays theta, as `Point` does. R is the chain rule through Oracle.
    """
    q = QueryDraft()
    theta = q.player("Player", player)()
    value = q.oracle("Oracle", oracle)(theta)
    objective = Objective((q.loss("Value", torch.mean)(value).port,), direction)
    return Grammar("gray-box-descent", q.graph(), chain_rule(q, objective), objective, exact())
