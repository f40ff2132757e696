"""Descent in the gray-box protocol: Oracle answers the value at a point, and its gradient (essay, Definition 3)."""

import torch

from antiphon.grammars import (
    Direction,
    Factory,
    Grammar,
    Objective,
    OracleDeclaration,
    QueryDraft,
    chain_rule,
    exact,
    typed,
)


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
