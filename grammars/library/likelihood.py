"""Representation 2, maximum likelihood, and its extension to maximum a posteriori (essay, section 1.2)."""

from torch import Tensor

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, exact, minimise, typed
from antiphon.grammars.library.penalty import Penalised
from antiphon.grammars.library.unlabelled import first
from antiphon.grammars.numbers import Count


@typed
def maximum_likelihood(nature: OracleDeclaration, density: Factory) -> Grammar:
    """Make the grammar of maximum likelihood. Nature plays x, Estimator plays theta and minimises -E[log Q_theta(x)].

    nature: the first output of its first question is x, (batch, ...); other outputs are ignored.
    density: makes a module that plays log Q_theta(x), (batch,). The essay has two operators, Q and -log. This module
    computes the logarithm itself, because densities of many dimensions underflow.
    """
    q = QueryDraft()
    x = first(q.oracle("Nature", nature)())
    objective = minimise(q.loss("Surprise", surprise)(q.player("Estimator", density)(x)))
    return Grammar("likelihood", q.graph(), chain_rule(q, objective), objective, exact())


@typed
def maximum_a_posteriori(nature: OracleDeclaration, density: Factory, log_prior: Factory, examples: Count) -> Grammar:
    """Make the grammar of maximum a posteriori: Estimator minimises -E[log Q_theta(x)] - log p(theta) / n.

    nature: the first output of its first question is x. density: makes a module that plays log Q_theta(x), (batch,).
    log_prior: a function of the density's module that returns the scalar log p(theta). examples: n, the number of x in
    the data set. The expectation is a mean over examples, but the log-posterior is a sum, so the prior is divided by n.
    """
    q = QueryDraft()
    x = first(q.oracle("Nature", nature)())
    log_density, prior = q.player("Estimator", Penalised, density, log_prior)(x)
    shared = q.loss("Prior", minus_share, examples=examples)(prior)
    objective = minimise(q.loss("Surprise", surprise)(log_density), shared)
    return Grammar("likelihood", q.graph(), chain_rule(q, objective), objective, exact())


def surprise(log_density: Tensor) -> Tensor:
    """Return the mean over the batch of -log Q(x), (batch,) -> (): the loss of maximum likelihood."""
    return -log_density.mean()


def minus_share(log_prior: Tensor, examples: int) -> Tensor:
    """Return minus the log-prior, divided by the number of examples in the data set: () -> ()."""
    return -log_prior / examples
