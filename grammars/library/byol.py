"""Bootstrap your own latent: a network predicts what a slowly following copy of it sees in another view of an image.

Grill et al. 2020, Bootstrap your own latent: a new approach to self-supervised learning.
"""

from typing import final

from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, exact, minimise, typed
from antiphon.grammars.library.unlabelled import first
from antiphon.grammars.numbers import Count, Share


@typed
def byol(
    environment: OracleDeclaration,
    noise: OracleDeclaration,
    view: Factory,
    encoder: Factory,
    projector: Factory,
    predictor: Factory,
    *,
    soft: Share = 0.01,
) -> Grammar:
    """Make the grammar of "bootstrap your own latent". The players are Encoder, Projector and Predictor.

    Two views of each example are encoded and projected. From the projection of one view, Predictor predicts what clones
    of Encoder and Projector make of the other view, and the reverse. The loss is 2 - 2 cos of the angle between
    prediction and target. No gradient passes through the clones.
    environment: an oracle whose first question answers x; further outputs are ignored. noise: an oracle whose first
    question answers the numbers that choose a view; it is asked twice. view: a function of (x, these numbers) that
    returns a view. encoder: makes a module from a view to a representation. projector: makes a module from a
    representation to a projection. predictor: makes a module from a projection to a projection. soft: the fraction of
    the distance to their players that the clones cover in each round.
    """
    q = QueryDraft()
    x, wind = first(q.oracle("Environment", environment)()), q.oracle("Noise", noise)
    look, apart = q.operator("view", view), q.loss("Apart", apart_by_angle)
    encode, project = q.player("Encoder", encoder), q.player("Projector", projector)
    predict = q.player("Predictor", predictor)
    old_encode = q.clone("Encoder~", encode, soft=soft)
    old_project = q.clone("Projector~", project, soft=soft)
    one, two = look(x, wind()), look(x, wind())
    losses = [
        apart(predict(project(encode(here))), old_project(old_encode(there)))
        for here, there in ((one, two), (two, one))
    ]
    objective = minimise(*losses)
    return Grammar("byol", q.graph(), chain_rule(q, objective), objective, exact())


@typed
@final
class Head(nn.Sequential):
    """A module for Projector or Predictor: two linear layers, with batch normalisation and a rectifier between them.

    (batch, inputs) -> (batch, outputs). Without batch normalisation, all projections soon have one direction.
    """

    def __init__(self, inputs: Count, outputs: Count, hidden: Count) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def apart_by_angle(guess: Tensor, target: Tensor) -> Tensor:
    """Return the mean of 2 - 2 cos of the angle between guess and target, 0-d.

    It is the squared distance of the two after both are divided by their norms. guess, target: (batch, width).
    """
    return (2 - 2 * cosine_similarity(guess, target)).mean()
