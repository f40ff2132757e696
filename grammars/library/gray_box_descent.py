"""Descent in the gray-box protocol: Oracle answers the value at a point, and its gradient (essay, Definition 3)."""

import torch

from antiphon.grammars import (
    Direction,
    Factory,
    Grammar,
    Objective,
    OracleDeclaration,
    QueryDraft,
    Term,
    chain_rule,
    exact,
    typed,
)


@typed
def gray_box_descent(
    oracle: OracleDeclaration, player: Factory, *, direction: Direction = Direction.MINIMISE
) -> Grammar:
    """Make the grammar of gradient descent on a function R. Player plays theta; Oracle answers R(theta) and its
    gradient.

    oracle: an oracle whose first question takes theta, (dimension,), and answers a 0-d value. The gradient of this
    value can be asked for (a gray box). player: a module without inputs that returns theta, such as `Point`. Each round
    has one query of the value and one of the gradient.
    """
    q = QueryDraft()
    theta = q.player("Player", player)()
    value = q.oracle("Oracle", oracle)(theta)
    objective = Objective((Term((q.loss("Value", torch.mean)(value).port,), direction),))
    return Grammar("gray-box-descent", q.graph(), chain_rule(q, objective), objective, exact())
