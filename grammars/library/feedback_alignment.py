"""Feedback alignment: fixed random matrices send the error downwards, in place of the weights' transposes.

Lillicrap et al. 2016, Random synaptic feedback weights support error backpropagation for deep learning. Direct feedback
alignment: Nøkland 2016, Direct feedback alignment provides learning in deep neural networks.
"""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from antiphon.grammars import Factory, Grammar, OracleDeclaration, ResponseDraft, fixed_matrix, minimise, typed
from antiphon.grammars.guarantee import Aligns, Exact, PlayerLoss, promised
from antiphon.grammars.library.feedforward import (
    Layer,
    Network,
    RuleMessages,
    answered,
    feedforward,
    gradient,
    numbers,
    responses,
    shape_of,
)
from antiphon.grammars.numbers import Natural
from antiphon.grammars.writing import Message


@typed
def feedback_alignment(
    nature: OracleDeclaration,
    layers: Mapping[str, Factory],
    loss: Factory = Factory(cross_entropy),
    *,
    direct: bool = False,
    seed: Natural = 0,
) -> Grammar:
    """Make the grammar of feedback alignment in a feedforward network whose layers are players.

    The Response graph differs from the chain rule below the last player. A player sends B' delta upstream, where delta
    is the message about its output, and B is a fixed random matrix. The chain rule sends W' delta.
    If `direct`, the gradient e of the loss in the network's output is broadcast to all players instead. The message
    about the output of a layer is B' e, where B is a fixed random matrix of that layer. So no layer waits for another.
    nature: an oracle whose first question answers (x, y). layers: the layers by name, in order; a layer with parameters
    is a player, any other an operator. Unless `direct`, give activations layers of their own, because delta is a
    gradient before the activation. loss: a function of (output, y), a mean over the batch. seed: draws the matrices.
    """
    network = feedforward(nature, layers, loss)
    matrices = feedback_matrices(network, seed, direct)

    def rule(r: ResponseDraft, below: Layer, arrived: RuleMessages) -> Message:
        told, where = arrived.error if direct else arrived.delta, f"feedback to {below.name}"
        return r.map(fixed_matrix, told, name=where, matrix=matrices[below.name], shape=shape_of(below.after))

    signals = [value for layer in network.layers for value in (layer.played, layer.after)]
    own = PlayerLoss.of(fed_back, network.error, *signals, matrices=[*matrices.values()], direct=direct)
    guarantee = promised(
        Exact((network.layers[-1].name,)),
        Exact(network.hidden, own, "the gradient, if hidden outputs hear the feedback in place of their gradients"),
        Aligns(network.hidden),
    )
    name = "direct-feedback-alignment" if direct else "feedback-alignment"
    return Grammar(name, network.q.graph(), responses(network, rule).graph(), minimise(network.error), guarantee)


def feedback_matrices(network: Network, seed: int, direct: bool) -> dict[str, Tensor]:
    """Draw the fixed matrix of each layer except the last one, (senders, receivers), by the name of the layer.

    Senders are the units of the next player, or of the network's output if `direct`. Receivers are the outputs of the
    layer. The numbers are normal. Their variance is that of torch's initial weights: 1 / (3 receivers).
    """
    generator, found = torch.Generator().manual_seed(seed), dict[str, Tensor]()
    for below, above in itertools.pairwise(network.layers):
        sender, columns = network.layers[-1].after if direct else above.played, numbers(below.after)
        drawn = torch.randn(numbers(sender), columns, generator=generator, dtype=torch.float64)
        found[below.name] = (drawn / (3 * columns) ** 0.5).to(below.after.type.dtype)
    return found


def fed_back(error: Tensor, *signals: Tensor, matrices: Sequence[Tensor], direct: bool) -> Tensor:
    """Compute the loss that the hidden players minimise in feedback alignment, 0-d, with torch's autograd graph.

    It is the network's loss plus, for each hidden output S, <B' delta - dL/dS, S>, with the first factor held fixed. So
    its gradient with respect to S is the feedback B' delta, where the gradient of the network's loss is W' delta.
    error: the network's loss. signals: for each layer, the output of the player, and the same after its operators.
    matrices: B for each layer except the last one. direct: whether delta is the gradient in the network's output.
    """
    loss, players, outputs = error, signals[2::2], signals[1::2]
    for matrix, below, played in zip(matrices[::-1], outputs[-2::-1], players[::-1], strict=True):
        delta = gradient(loss, outputs[-1] if direct else played)
        loss = answered(loss, below, fixed_matrix(delta, matrix.to(delta), tuple(below.shape[1:])))
    return loss
