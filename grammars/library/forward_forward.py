"""The forward-forward algorithm: each layer tells true examples from false ones, and no gradient leaves a layer.

Hinton 2022, The forward-forward algorithm: some preliminary investigations.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot, softplus

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, cut_into, minimise
from antiphon.grammars.draft import Value
from antiphon.grammars.guarantee import Exact, Insulated, PlayerLoss, promised
from antiphon.grammars.library.penalty import itself
from antiphon.grammars.numbers import Count, Positive
from antiphon.grammars.typed import typed


@typed
def forward_forward(
    nature: OracleDeclaration,
    noise: OracleDeclaration,
    layers: Mapping[str, Factory],
    classes: Count,
    *,
    threshold: Positive = 2.0,
) -> Grammar:
    """Make the grammar of the forward-forward algorithm in a network whose layers are players.

    Each round has two forward passes: true examples with their labels, and the same examples with wrong labels. Each
    layer has its own loss: a logistic regression of true against wrong, on the mean square of its outputs. The
    Response graph is the chain rule, cut between the layers. Outputs are normalised on their way to the next layer, so
    that it cannot read the mean square.
    nature: an oracle whose first question answers (x, y), with y in 0..classes-1. noise: an oracle whose first question
    answers (batch, classes) independent numbers; they choose the wrong labels. layers: the layers in order, by name.
    The first one takes the flattened x and `classes` further numbers, which hold the label. threshold: the mean square
    at which a layer is undecided.
    """
    q = QueryDraft()
    x, y = q.oracle("Nature", nature)()
    true = q.operator("label", labelled, classes=classes)(x, y)
    false = q.operator("mislabel", mislabelled)(x, y, q.oracle("Noise", noise)())
    calm, losses = q.operator("normalise", normalised), dict[str, Value]()
    for name, factory in layers.items():
        layer = q.player(name, factory)
        if losses:
            true, false = calm(true), calm(false)
        true, false = layer(true), layer(false)
        losses[name] = q.loss(f"Loss of {name}", told_apart, threshold=threshold)(true, false)
    objective = minimise(*losses.values())
    guarantee = promised(
        *(Exact((name,), PlayerLoss.of(itself, own), "the gradient of its own loss") for name, own in losses.items()),
        *(Insulated((name,), _above(name, losses)) for name in [*losses][:-1]),
    )
    return Grammar("forward-forward", q.graph(), chain_rule(q, objective, cut_into("normalise")), objective, guarantee)


def _above(name: str, losses: Mapping[str, Value]) -> tuple[str, ...]:
    """Return the names of the layers above a layer, and of their losses."""
    names = [*losses]
    above = names[names.index(name) + 1 :]
    return (*above, *(losses[each].port.node for each in above))


def labelled(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Return flattened examples behind their labels as one-hot vectors: (batch, classes + numbers of an example).

    x: (batch, ...). y: (batch,), from 0 to classes - 1.
    """
    return torch.cat([one_hot(y, classes).to(x), x.flatten(1)], 1)


def mislabelled(x: Tensor, y: Tensor, draws: Tensor) -> Tensor:
    """Return flattened examples behind wrong labels, as `labelled` does for right ones.

    The wrong label is the class with the largest draw among the classes other than y, so it is uniform. draws: (batch,
    classes), independent numbers.
    """
    wrong = draws.masked_fill(one_hot(y, draws.shape[1]).bool(), -torch.inf)
    return labelled(x, wrong.argmax(1), draws.shape[1])


def normalised(h: Tensor) -> Tensor:
    """Return the outputs of each example, divided so that their mean square is 1. h: (batch, units)."""
    return normalize(h, dim=1) * h.shape[1] ** 0.5


def goodness(h: Tensor) -> Tensor:
    """Return the mean square of the outputs of each example, (batch,). h: (batch, units)."""
    return h.square().mean(1)


def told_apart(true: Tensor, false: Tensor, threshold: float) -> Tensor:
    """Return the loss of a layer, 0-d: minus the mean log-probability that it tells true from false examples.

    The log-odds that an example is true are units * (goodness - threshold), the sum of squares above its threshold.
    true, false: the layer's outputs on true and on false examples, (batch, units).
    """
    odds = [true.shape[1] * (goodness(each) - threshold) for each in (true, false)]
    return softplus(-odds[0]).mean() + softplus(odds[1]).mean()
