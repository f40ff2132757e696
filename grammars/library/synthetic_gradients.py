"""Synthetic gradients: each layer has a second player that guesses the layer's gradient from the layer's output.

Jaderberg et al. 2017, Decoupled neural interfaces using synthetic gradients.
"""

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from antiphon.grammars import (
    Aligns,
    Exact,
    Factory,
    Grammar,
    Guarantee,
    Learned,
    OracleDeclaration,
    PlayerLoss,
    Promise,
    ResponseDraft,
    Value,
    minimise,
    promised,
    typed,
)
from antiphon.grammars.library.feedforward import Arrived, Block, Network, feedforward, refuse_others, responses
from antiphon.grammars.maps import over_batch
from antiphon.grammars.writing import Message


@typed
def synthetic_gradients(
    nature: OracleDeclaration,
    layers: Mapping[str, Factory],
    guessers: Mapping[str, Factory],
    loss: Factory = Factory(cross_entropy),
) -> Grammar:
    """Make the grammar of synthetic gradients in a feedforward network whose layers are players.

    Beside each layer except the last one plays a Guess: M(S), an estimate of the gradient of one example's loss with
    respect to the layer's output S. The layer receives M(S) / batch at once, and sends it through its own product. The
    Guess learns from the message that arrives from the next layer. That message is itself made of the next Guess.
    nature: an oracle whose first question answers (x, y). layers: the layers by name, in order; a layer with parameters
    is a player, any other an operator. guessers: makes M, a module of S whose output has the shape of S, by the name of
    the layer. loss: a function of (output, y), a mean over the batch.
    """
    network = feedforward(nature, layers, loss)
    refuse_others("guessers", network.blocks[:-1], guessers)
    guesses = {
        block.name: network.q.player(f"Guess{index}", guessers[block.name])(block.after)
        for index, block in enumerate(network.blocks[:-1], start=1)
    }

    def rule(r: ResponseDraft, below: Block, arrived: Arrived) -> Message:
        guess = guesses[below.name]
        missed = r.map(guess_error, r.tap(guess), arrived.product.toward(0), name=f"error of {guess.port.node}")
        r.deliver(guess.port.node, r.product(guess, missed).parameters)
        return r.map(over_batch, r.tap(guess), name=f"guess for {below.name}")

    r, objective = responses(network, rule).graph(), minimise(network.error)
    return Grammar("synthetic-gradients", network.q.graph(), r, objective, _promises(network, guesses))


def _promises(network: Network, guesses: Mapping[str, Value]) -> Guarantee:
    found: list[Promise] = [Exact((network.blocks[-1].name,))]
    for block, above in itertools.pairwise(network.blocks):
        guess, told = guesses[block.name], guesses.get(above.name)
        last = (network.error,) if told is None else (above.after, told)
        own = PlayerLoss.of(guessed, guess, block.after)
        found.append(Exact((block.name,), own, "the response is the gradient that its Guess tells"))
        regression = PlayerLoss.of(regressed, guess, block.after, *last)
        found.append(Exact((guess.port.node,), regression, "the gradient of the squared error of the guess"))
        mean = "for fixed layers, the guess approaches the mean gradient, given the layer's output"
        found.append(Learned((guess.port.node,), sense=mean))
    return promised(*found, Aligns(network.hidden))


def guess_error(guess: Tensor, told: Tensor) -> Tensor:
    """Return the gradient of `regressed` with respect to the guess: 2 (M - batch delta) / batch.

    guess: M, (batch, ...). told: delta, the message about the layer's output, of the same shape.
    """
    return over_batch(guess, 2.0) - 2.0 * told


def guessed(guess: Tensor, played: Tensor) -> Tensor:
    """Return the loss of a layer that believes its Guess: the mean of <M, S> with M held fixed, 0-d.

    guess: M. played: S, the layer's output. Both are (batch, ...).
    """
    return (guess.detach() * played).sum() / len(played)


def regressed(guess: Tensor, played: Tensor, above: Tensor, next_guess: Tensor | None = None) -> Tensor:
    """Return the loss of a Guess, 0-d: the mean over the batch of |M - batch delta|^2, with delta held fixed.

    delta is the gradient in the layer's output S. It is that of the loss, if the next layer is the last one. Otherwise
    it is that of the loss which the next layer gets from its own Guess.
    guess: M, (batch, ...). played: S. above: the network's loss, or the output of the next layer. next_guess: None, or
    what the next layer's Guess plays.
    """
    with torch.enable_grad():
        value = above if next_guess is None else guessed(next_guess, above)
        (delta,) = torch.autograd.grad(value, played, retain_graph=True)
    return (guess - len(played) * delta).square().sum() / len(played)
