"""Synthetic gradients: each layer has a second player that guesses the layer's gradient from the layer's output.

Jaderberg et al. 2017, Decoupled neural interfaces using synthetic gradients.
"""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from antiphon.grammars import Factory, Grammar, OracleDeclaration, ResponseDraft, minimise, typed
from antiphon.grammars.guarantee import Aligns, Exact, Learned, PlayerLoss, promised
from antiphon.grammars.library.feedforward import (
    Layer,
    RuleMessages,
    answered,
    feedforward,
    gradient,
    refuse_others,
    responses,
)
from antiphon.grammars.library.networks import Perceptron
from antiphon.grammars.maps import over_batch
from antiphon.grammars.numbers import Count
from antiphon.grammars.writing import Message

SMALL = 0.01
"""Factor of the initial weights of a Guesser's last layer."""


@typed
@final
class Guesser(nn.Module):
    """A network M(S, y) that guesses a gradient from the output of a dense layer and the label.

    Its first guesses are close to zero, because wrong ones move the layers at random. width: of the layer. labels: the
    number of classes; for labels that are numbers, how many each example has. widths: of the hidden layers.
    """

    def __init__(self, width: Count, labels: Count, widths: Sequence[Count] = ()) -> None:
        super().__init__()
        self.network, self.labels = Perceptron(width + labels, width, widths), labels
        for each in self.network[-1].parameters():
            each.data.mul_(SMALL)

    def forward(self, S: Tensor, y: Tensor) -> Tensor:
        """Return the guess, (batch, width). S: (batch, width). y: (batch,) classes, or (batch, labels) numbers."""
        told = y if y.is_floating_point() else one_hot(y, self.labels)
        return self.network(torch.cat([S, told.to(S.dtype)], 1))


@typed
def synthetic_gradients(
    nature: OracleDeclaration,
    layers: Mapping[str, Factory],
    guessers: Mapping[str, Factory],
    loss: Factory = Factory(cross_entropy),
) -> Grammar:
    """Make the grammar of synthetic gradients in a feedforward network whose layers are players.

    Beside each layer except the last one plays a Guess: M(S, y), an estimate of the gradient of one example's loss with
    respect to the layer's output S, given the label y. The layer receives M / batch at once, and sends it through its
    own product. The Guess learns from the message that arrives from the next layer. That message is itself made of the
    next Guess.
    nature: an oracle whose first question answers (x, y). layers: the layers by name, in order; a layer with parameters
    is a player, any other an operator. guessers: makes M, a module of (S, y) whose output has the shape of S, by the
    name of the layer; `Guesser` is such a module. loss: a function of (output, y), a mean over the batch.
    """
    network = feedforward(nature, layers, loss)
    refuse_others("guessers", network.layers[:-1], guessers)
    guesses = {
        layer.name: network.q.player(f"Guess{index}", guessers[layer.name])(layer.after, network.y)
        for index, layer in enumerate(network.layers[:-1], start=1)
    }

    def rule(r: ResponseDraft, below: Layer, arrived: RuleMessages) -> Message:
        guess = guesses[below.name]
        missed = r.map(guess_error, r.tap(guess), arrived.product.toward(0), name=f"error of {guess.port.node}")
        r.deliver(guess.port.node, r.product(guess, missed).parameters)
        return r.map(over_batch, r.tap(guess), name=f"guess for {below.name}")

    signals = [value for layer in network.layers[:-1] for value in (layer.after, guesses[layer.name])]
    own, names = PlayerLoss.of(with_guesses, network.error, *signals), [guess.port.node for guess in guesses.values()]
    guarantee = promised(
        Exact((network.layers[-1].name,)),
        Exact(network.hidden, own, "the gradient, if hidden outputs hear their guesses in place of their gradients"),
        *(Exact((name,), own, "the gradient of the squared error of its guess") for name in names),
        *(Learned((name,), sense="for fixed layers, it approaches the mean gradient, given S and y") for name in names),
        Aligns(network.hidden),
    )
    r, objective = responses(network, rule).graph(), minimise(network.error)
    return Grammar("synthetic-gradients", network.q.graph(), r, objective, guarantee)


def guess_error(guess: Tensor, told: Tensor) -> Tensor:
    """Return the gradient of the mean of |M - batch delta|^2 with respect to M: 2 (M - batch delta) / batch.

    guess: M, (batch, ...). told: delta, the message about the layer's output, of the same shape.
    """
    return over_batch(guess, 2.0) - 2.0 * told


def with_guesses(error: Tensor, *signals: Tensor) -> Tensor:
    """Compute the loss that hidden layers and Guesses minimise, 0-d, with torch's autograd graph.

    It is the network's loss, with two changes for each hidden output S. The gradient with respect to S is the guess
    M / batch, held fixed. And the mean of |M - batch delta|^2 is added, where delta is the gradient before the first
    change, held fixed. error: the network's loss. signals: S and M for each hidden layer.
    """
    loss = error
    for played, guess in zip(signals[-2::-2], signals[::-2], strict=True):
        missed = (guess - len(guess) * gradient(loss, played)).square().sum() / len(guess)
        loss = answered(loss + missed, played, guess.detach() / len(guess))
    return loss
