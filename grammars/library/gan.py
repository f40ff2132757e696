"""Grammar 3, the generative adversarial network: the chain rule with one change of sign (essay, section 2.3)."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from antiphon.grammars import (
    Exact,
    Factory,
    Grammar,
    Guarantee,
    Learned,
    Loss,
    OracleDeclaration,
    PlayerLoss,
    QueryDraft,
    chain_rule,
    cut_into,
    maximise,
    minimise,
    negate_into,
    promised,
    typed,
)
from antiphon.grammars.library.unlabelled import first
from antiphon.grammars.maps import over_batch


@typed
def gan(
    environment: OracleDeclaration,
    noise: OracleDeclaration,
    forger: Factory,
    curator: Factory,
    *,
    saturating: bool = True,
) -> Grammar:
    """Make the grammar of a generative adversarial network with the players Curator (D) and Forger (G).

    Curator maximises L = E log D(x) + E log(1 - D(G(eps))), Forger minimises L.

    D(x) is Curator's probability that x is *real*.
    environment: an oracle whose first question answers x; further outputs are ignored. noise: an oracle whose first
    question answers eps. forger: G, a module of eps whose output has the type of x. curator: a module of x that plays
    one logit of D per example, (batch, 1) or (batch,). Curator is asked twice per round, on real and on forged
    examples. The Response graph is the chain rule, except that every message about Forger's output changes its sign. If
    `saturating` is false, Forger maximises log D(G(eps)) instead. The gradient of this objective does not vanish where
    D(G(eps)) is close to 0.
    """
    q = QueryDraft()
    x = first(q.oracle("Environment", environment)())
    forged = q.player("Forger", forger)(q.oracle("Noise", noise)())
    judge = q.player("Curator", curator)
    real, fake = judge(x), judge(forged)
    value = q.loss("L", discernment)(real, fake)
    objective = maximise(value)
    if saturating:
        r = chain_rule(q, objective, edit=negate_into("Forger"))
        return Grammar("gan", q.graph(), r, objective, guarantee(minimise(value)))
    r = chain_rule(
        q,
        objective,
        edit=cut_into("Forger"),
        answers={forged: lambda r: r.product(fake, r.map(disbelief, r.tap(fake))).toward(0)},
    )
    return Grammar("gan", q.graph(), r, objective, guarantee(PlayerLoss.of(unconvinced, fake)))


def guarantee(forger: Loss) -> Guarantee:
    """Return the promises of a generative adversarial network about gradients.

    forger: the loss that Forger minimises.
    """
    return promised(
        Exact(("Curator",), sense="the response is the gradient of -L"),
        Exact(("Forger",), forger, sense="the response is the gradient of L, or of -E log D(G(eps))"),
        Learned(("Curator",), sense="for a fixed Forger, D approaches p_nature / (p_nature + p_forger)"),
    )


def discernment(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean of log D(x) plus the mean of log(1 - D(G(eps))), 0-d: the objective that Curator maximises.

    real, fake: the logits of D on real and on forged examples.
    """
    return logsigmoid(real).mean() + logsigmoid(-fake).mean()


def unconvinced(fake: Tensor) -> Tensor:
    """Return the mean of -log D(G(eps)), 0-d: the loss of Forger that does not saturate.

    fake: the logits of D on forged examples.
    """
    return softplus(-fake).mean()


def disbelief(fake: Tensor) -> Tensor:
    """Return the gradient of `unconvinced`, the mean of -log D, with respect to the logits: -(1 - D) / batch.

    fake: the logits of D on forged examples.
    """
    return over_batch(torch.sigmoid(-fake), -1.0)
