"""The Wasserstein generative adversarial network with a gradient penalty, whose penalty is made of nodes of Q.

Gulrajani et al. 2017, Improved training of Wasserstein GANs.
"""

from torch import Tensor

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, exact, minimise, typed
from antiphon.grammars.library.unlabelled import first
from antiphon.grammars.numbers import Positive
from antiphon.grammars.second_order import gradient


@typed
def wgan_gp(
    environment: OracleDeclaration,
    noise: OracleDeclaration,
    mix: OracleDeclaration,
    forger: Factory,
    curator: Factory,
    *,
    penalty: Positive = 10.0,
) -> Grammar:
    """Make the grammar of a Wasserstein GAN with the players Curator (D) and Forger (G).

    Curator minimises L = E D(G(eps)) - E D(x), plus `penalty` times E (|grad D| - 1)^2 at points between real and
    forged examples. Forger maximises E D(G(eps)). The gradient of D is a value of the Query graph. So R asks for the
    product of a product of Curator.
    environment: an oracle whose first question answers x; further outputs are ignored. noise: an oracle whose first
    question answers eps. mix: an oracle whose first question answers a number in [0, 1] for each example, (batch, 1).
    forger: G, a module of eps whose output has the type of x. curator: a module of x that plays one number per example,
    without batch normalisation, because the penalty is about each example.
    """
    q = QueryDraft()
    x, share = first(q.oracle("Environment", environment)()), first(q.oracle("Mix", mix)())
    forged = q.player("Forger", forger)(q.oracle("Noise", noise)())
    judge, between = q.player("Curator", curator), q.operator("between", mixture)(x, forged, share)
    fake = judge(forged)
    gap, missed = q.loss("L", mean_gap)(fake, judge(x)), q.loss("Loss of Forger", minus_mean)(fake)
    steep = q.loss("Penalty", off_slope_one, weight=penalty)(gradient(q, judge(between), between))
    objective = minimise(gap, steep, players=["Curator"]) + minimise(missed, players=["Forger"])
    return Grammar("wgan-gp", q.graph(), chain_rule(q, objective), objective, exact())


def mixture(x: Tensor, forged: Tensor, share: Tensor) -> Tensor:
    """Return points between x and forged, in the shape of x. share: the part of x in each example, (batch, 1)."""
    part = share.reshape(-1, *[1] * (x.dim() - 1))
    return part * x + (1 - part) * forged


def mean_gap(fake: Tensor, real: Tensor) -> Tensor:
    """Return the mean of D on forged examples minus its mean on real ones, 0-d."""
    return fake.mean() - real.mean()


def minus_mean(fake: Tensor) -> Tensor:
    """Return minus the mean of D on forged examples, 0-d: the loss of Forger."""
    return -fake.mean()


def off_slope_one(slope: Tensor, weight: float) -> Tensor:
    """Return `weight` times the mean of (|slope| - 1)^2, 0-d. slope: a gradient for each example, (batch, ...)."""
    return weight * (slope.flatten(1).norm(dim=1) - 1).square().mean()
