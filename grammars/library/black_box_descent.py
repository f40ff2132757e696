"""Descent in the black-box protocol: gradients are estimated from values alone, by simultaneous perturbation.

Spall (1992), Multivariate stochastic approximation using a simultaneous perturbation gradient approximation, IEEE
Transactions on Automatic Control 37: two values give an estimate for all coordinates, however many there are.
"""

import torch
from torch import Tensor

from antiphon.grammars import (
    UNKNOWN,
    Direction,
    Estimated,
    Factory,
    Grammar,
    Insulated,
    Objective,
    OracleDeclaration,
    QueryDraft,
    Term,
    chain_rule,
    cut_into,
    promised,
    typed,
)
from antiphon.grammars.objective import sign_of

GUARANTEE = promised(
    Estimated(("Player",), UNKNOWN, sense="the mean estimate is the gradient, up to the square of the perturbation"),
    Insulated(("Player",), ("Oracle", "Value"), taps=True, sense="values are told, and no derivative"),
)


@typed
def black_box_descent(
    oracle: OracleDeclaration,
    noise: OracleDeclaration,
    player: Factory,
    *,
    direction: Direction = Direction.MINIMISE,
) -> Grammar:
    """Make the grammar of descent on a function R from values alone. Player plays theta, Noise plays perturbations eps.

    In each round, Oracle answers R(theta + eps) and R(theta - eps), two values for each eps. Oracle is not asked for a
    derivative: theta receives an estimate of the gradient that is made from these values and eps.
    oracle: an oracle whose first question takes points, (batch, dimension), and answers their values, (batch,). It may
    be a black box.
    noise: an oracle whose first question answers a batch of perturbations eps, (batch, dimension). The estimates of a
    batch are averaged. `rademacher` gives Spall's method, `coordinates` central finite differences.
    player: a module without inputs that returns theta, (dimension,), such as `Point`.
    """
    q = QueryDraft()
    theta = q.player("Player", player)()
    eps = q.oracle("Noise", noise)()
    box = q.oracle("Oracle", oracle)
    ahead = box(q.operator("ahead", torch.add)(theta, eps))
    behind = box(q.operator("behind", torch.sub)(theta, eps))
    objective = Objective((Term((q.loss("Value", mean_of_both)(ahead, behind).port,), direction),))

    r = chain_rule(
        q,
        objective,
        edit=cut_into("Oracle"),
        answers={
            theta: lambda r: r.map(
                simultaneous_perturbation, r.tap(ahead), r.tap(behind), r.tap(eps), factor=sign_of(direction)
            )
        },
    )
    return Grammar("black-box-descent", q.graph(), r, objective, GUARANTEE)


def mean_of_both(ahead: Tensor, behind: Tensor) -> Tensor:
    """Return the mean of all answered values. It equals R(theta), up to the square of the perturbation.

    ahead, behind: R(theta + eps) and R(theta - eps), (batch,) each.
    """
    return (ahead.mean() + behind.mean()) / 2


def simultaneous_perturbation(ahead: Tensor, behind: Tensor, eps: Tensor, factor: float = 1.0) -> Tensor:
    """Return the mean over the batch of (R(theta + eps) - R(theta - eps)) / 2 * eps * dimension / |eps|^2, times
    `factor`.

    The result estimates the gradient of R at theta, (dimension,). ahead: R(theta + eps), (batch,). behind: R(theta -
    eps), (batch,). eps: (batch, dimension). If every number of eps is plus or minus c, this is Spall's (R+ - R-) / (2
    eps_i). If eps runs through c e_i for each i, it is the central difference quotient. For a quadratic R the estimate
    is unbiased whenever E eps eps' / |eps|^2 is I / dimension: for any noise with exchangeable and symmetric
    coordinates. The estimate does not divide by eps_i, because 1 / eps_i has no second moment for most other noise.
    """
    slope = (ahead - behind) * (factor * eps.shape[1] / 2) / eps.square().sum(1)
    return slope @ eps / eps.shape[0]
