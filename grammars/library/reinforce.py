"""REINFORCE in a network of stochastic units: each hidden layer samples, and learns from the cost of its samples alone.

Williams 1992, Simple statistical gradient-following algorithms for connectionist reinforcement learning.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Normal
from torch.nn.functional import cross_entropy

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, Value, chain_rule, minimise, score, typed
from antiphon.grammars.guarantee import UNKNOWN, Estimated, Exact, Insulated, PlayerLoss, promised
from antiphon.grammars.library.feedforward import refuse_few
from antiphon.grammars.query import Port
from antiphon.grammars.stochastic import DENSITY


def switches(logits: Tensor) -> Distribution:
    """Return the density of independent units that are 1 with the probability sigmoid(logits), and else 0."""
    return Bernoulli(logits=logits)


def gaussian_units(means: Tensor, deviation: float) -> Distribution:
    """Return the density of independent normal units. The deviation is made where the means are, without a copy."""
    return Normal(means, means.new_full((), deviation))


@typed
def reinforce(
    nature: OracleDeclaration,
    layers: Mapping[str, Factory],
    baseline: Factory,
    units: Factory = Factory(switches),
    loss: Factory = Factory(cross_entropy),
) -> Grammar:
    """Make the grammar of REINFORCE in a feedforward network whose hidden layers are stochastic.

    The output of each hidden layer is the parameter of a density, from which the next layer's input is sampled. The
    hidden layers receive the gradient of the log-density of their sample, times (cost - baseline) / batch: the cost of
    an example is broadcast to all of them, and no gradient passes a sample. The last layer receives its gradient. The
    player Baseline learns to predict the cost of x.
    nature: an oracle whose first question answers (x, y). layers: the layers by name, in order; a layer with parameters
    is a player, any other an operator. baseline: makes a module of x with one output, (batch, 1). units: a function
    from a player's output to a `torch.distributions.Distribution`. loss: a function of (output, y) that takes
    `reduction="none"`, as torch's losses do.
    """
    q, hidden = QueryDraft(), dict[str, Value]()
    x, y = q.oracle("Nature", nature)()
    signal, guess = x, q.player("Baseline", baseline)(x)
    *below, last = refuse_few(layers, 2)
    for name, factory in layers.items():
        signal = (q.player if name in (*below, last) else q.operator)(name, factory)(signal)
        if name in below:
            signal = hidden[name] = q.sample(f"{name} sample", units)(signal)
    costs = q.operator("Costs", loss, reduction="none")(signal, y)
    paid = minimise(q.loss("Loss", torch.mean)(costs), players=(*below, last))
    objective = paid + minimise(q.loss("Error", missed)(guess, costs), players=["Baseline"])
    r = chain_rule(q, objective, edit=[score(sample, baseline=guess) for sample in hidden.values()])
    own = {name: PlayerLoss.of(surrogate, costs, guess, _density(sample)) for name, sample in hidden.items()}
    guarantee = promised(
        Exact((last, "Baseline")),
        *(Exact((name,), loss, "the score of the sample, times its cost") for name, loss in own.items()),
        Insulated(tuple(below), (last,), taps=True, sense="no derivative of the last layer"),
        Estimated(tuple(below), UNKNOWN, sense="the mean response is the gradient of the mean cost over all samples"),
    )
    return Grammar("reinforce", q.graph(), r, objective, guarantee)


def _density(sample: Value) -> Port:
    return Port(sample.port.node, DENSITY)


def missed(guess: Tensor, costs: Tensor) -> Tensor:
    """Return the mean of (baseline - cost)^2, 0-d. guess: (batch, 1). costs: (batch, ...), a mean for each example."""
    return (guess.flatten() - costs.reshape(len(guess), -1).mean(1)).square().mean()


def surrogate(costs: Tensor, guess: Tensor, density: Tensor) -> Tensor:
    """Return the mean of (cost - baseline) log p, 0-d, with the first factor held fixed.

    Its gradient is the score-function response (Schulman et al. 2015). density: log p of each example, (batch,).
    """
    return ((costs.reshape(len(density), -1).mean(1) - guess.flatten()).detach() * density).mean()
