"""Grammar 2, the variational autoencoder: backpropagation of a bound, which is a surrogate (essay, section 2.2)."""

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
    """Encoder z = G(eps, x) and Decoder D(x|z) against the negative variational bound L1 + L2, a mean over the batch.

    environment: its first question answers x; further outputs are ignored. noise: sample() -> eps, and log_density(eps)
    -> (batch,). encoder: a module of (eps, x) that plays z and log |det dG/deps|, (batch,) (`Reparametrized` makes one
    of a mean and a log-scale). decoder: a module of z that plays the parameters of D(x|z), one value or several.
    likelihood: a function of x and these parameters, the mean of -log D(x|z).
    prior: a function of z, log P_prior(z) of each example.
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
