"""Representation 1, supervised learning: Nature plays (x, y), Predictor plays theta (essay, section 1.1)."""

from torch.nn.functional import cross_entropy

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, exact, minimise, typed
from antiphon.grammars.library.penalty import Penalised, itself


@typed
def supervised(
    nature: OracleDeclaration,
    predictor: Factory,
    loss: Factory = Factory(cross_entropy),
    penalty: Factory | None = None,
) -> Grammar:
    """Make the grammar of supervised learning: one player minimises E[loss(f_theta(x), y)], plus Omega(theta) if a
    penalty is given.

    nature: an oracle whose first question answers (x, y). predictor: makes f_theta, a module of x. loss: a function of
    (f, y) that returns a mean over the batch. penalty: Omega, a function of the module (see `Penalised`), such as
    `Factory.of(squared_norm, weight=0.01)`. The penalty is added to the mean of the loss over the batch; in the essay
    it is added to a sum.
    """
    q = QueryDraft()
    x, y = q.oracle("Nature", nature)()
    if penalty is None:
        guess = q.player("Predictor", predictor)(x)
        objective = minimise(q.loss("Loss", loss)(guess, y))
    else:
        guess, omega = q.player("Predictor", Penalised, predictor, penalty)(x)
        objective = minimise(q.loss("Loss", loss)(guess, y), q.loss("Omega", itself)(omega))
    return Grammar("supervised", q.graph(), chain_rule(q, objective), objective, exact())
