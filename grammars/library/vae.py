"""Grammar 2, the variational autoencoder: the players minimise a bound of the negative log-likelihood (essay,
section 2.2).
"""

from antiphon.grammars import (
    Exact,
    Factory,
    Grammar,
    OracleDeclaration,
    QueryDraft,
    Surrogate,
    Value,
    chain_rule,
    minimise,
    promised,
    typed,
)
from antiphon.grammars.library.unlabelled import first
from antiphon.grammars.variational import bernoulli, divergence, standard_normal

GUARANTEE = promised(
    Exact(sense="the response is the gradient of L1 + L2"),
    Surrogate(sense="L1 + L2 is no less than -log P(x), and equal where Encoder is the posterior"),
)


@typed
def vae(
    environment: OracleDeclaration,
    noise: OracleDeclaration,
    encoder: Factory,
    decoder: Factory,
    likelihood: Factory = Factory(bernoulli),
    prior: Factory = Factory(standard_normal),
) -> Grammar:
    """Make the grammar of a variational autoencoder: Encoder and Decoder minimise the negative variational bound L1 +
    L2, a mean over the batch.

    Encoder computes z = G(eps, x) from noise eps and data x. Decoder computes the distribution D(x|z).
    environment: an oracle whose first question answers x; further outputs are ignored. noise: an oracle with the
    questions sample() -> eps, and log_density(eps) -> (batch,). encoder: makes a module of (eps, x) that returns z and
    log |det dG/deps|, (batch,); `Reparametrized` is such a module. decoder: makes a module of z that returns the
    parameters of D(x|z), one tensor or several. likelihood: a function of x and these parameters that returns the mean
    of -log D(x|z), 0-d. prior: a function of z that returns log P_prior(z) of each example, (batch,).
    """
    q = QueryDraft()
    x = first(q.oracle("Environment", environment)())
    source = q.oracle("Noise", noise)
    eps = source.sample()
    z, determinant = q.player("Encoder", encoder)(eps, x)
    played = q.player("Decoder", decoder)(z)
    density, expected = source.log_density(eps), q.operator("prior", prior)(z)
    objective = minimise(
        q.loss("L1", divergence)(density, determinant, expected),
        q.loss("L2", likelihood)(x, *((played,) if isinstance(played, Value) else played)),
    )
    return Grammar("vae", q.graph(), chain_rule(q, objective), objective, GUARANTEE)
