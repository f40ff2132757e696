"""Target propagation: each layer has a target of its own, which the inverse of the next layer computes.

Lee et al. 2015, Difference target propagation.
"""

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from antiphon.grammars import (
    Factory,
    Grammar,
    Objective,
    OracleDeclaration,
    QueryDraft,
    Value,
    chain_rule,
    minimise,
    typed,
)
from antiphon.grammars.guarantee import Aligns, Exact, Guarantee, Learned, promised
from antiphon.grammars.inference import make_operator
from antiphon.grammars.library.feedforward import Layer, Network, feedforward, refuse_others
from antiphon.grammars.numbers import Positive


@typed
def target_propagation(
    nature: OracleDeclaration,
    layers: Mapping[str, Factory],
    inverses: Mapping[str, Factory],
    noises: Mapping[str, OracleDeclaration],
    loss: Factory = Factory(cross_entropy),
    *,
    rate: Positive = 0.1,
    difference: bool = True,
) -> Grammar:
    """Make the grammar of target propagation in a feedforward network whose layers are players.

    Each hidden output S has a target t, a value of the Query graph. A layer minimises |S - t|^2 / (2 rate). The top
    target is S - rate dL/dS. The target of a lower layer is S - g(S') + g(t'), where g is the player that inverts the
    next layer, and S', t' are output and target of the next layer. Without `difference` it is g(t').
    nature: an oracle whose first question answers (x, y). layers: the layers by name, in order; a layer with parameters
    is a player, any other an operator; the last layer is a player. inverses: makes g, by the name of the layer that g
    inverts: all hidden layers except the first. noises: for each inverse, an oracle whose first question answers noise
    in the shape of the output of g; g learns to rebuild the layer's input plus this noise. loss: a function of
    (output, y), a mean over the batch. rate: the step of the top target along the negative gradient of one example.
    """
    network = _sloped(nature, layers, loss, {"inverses": inverses, "noises": noises})
    q, (*hidden, output) = network.q, network.layers
    slope: Callable[..., Value] = output.handles[0]
    target = q.operator("step", stepped, rate=rate)(hidden[-1].after, slope(hidden[-1].after, network.y))
    own = minimise(network.error, players=[output.name])
    for index, above in reversed([*enumerate(hidden, start=1)]):
        gap = q.loss(f"Gap of {above.name}", distance, rate=rate)(above.after, target)
        own += minimise(gap, players=[above.name], held=[target])
        if index > 1:
            inverse = q.player(f"Inverse{index}", inverses[above.name])
            noise = q.oracle(f"Noise{index}", noises[above.name])()
            error, target = _inverted(q, index, (hidden[index - 2], above), inverse, noise, target, difference)
            own += minimise(error, players=[inverse.name])
    guarantee = _promises(network, own, difference)
    return Grammar("target-propagation", q.graph(), chain_rule(q, own), minimise(network.error), guarantee)


def _inverted(
    q: QueryDraft,
    index: int,
    pair: tuple[Layer, Layer],
    inverse: Callable[..., Value],
    noise: Value,
    target: Value,
    difference: bool,
) -> tuple[Value, Value]:
    """Write the uses of the player that inverts a layer. Return its loss, and the target of the layer below.

    index: of the inverted layer. pair: the layer below, and the inverted layer. target: of the inverted layer.
    """
    below, above = pair
    noisy = q.operator(f"disturb{index}", torch.add)(below.after, noise)
    error = q.loss(f"Error{index}", mse_loss)(inverse(above.ask(noisy)), noisy)
    found = inverse(target)
    if difference:
        found = q.operator(f"shift{index}", corrected)(below.after, inverse(above.after), found)
    return error, found


def _sloped(
    nature: OracleDeclaration, layers: Mapping[str, Factory], loss: Factory, given: Mapping[str, Mapping[str, object]]
) -> Network:
    """Write the network, of which the last layer also plays the gradient of the loss in its input.

    given: inverses and noises, by the name of the layer. Raises GrammarError if they are for other layers.
    """
    last = {name: Factory.of(Sloped, layers[name], loss) for name in [*layers][-1:]}
    network = feedforward(nature, {**layers, **last}, loss, players=2)
    for what, each in given.items():
        refuse_others(what, network.layers[1:-1], each)
    return network


def _promises(network: Network, own: Objective, difference: bool) -> Guarantee:
    """Return the promises. own: the loss of each player."""
    players = dict.fromkeys(name for term in own.terms for name in term.players)
    inverses = [name for name in players if name not in {layer.name for layer in network.layers}]
    return promised(
        *(Exact((name,), own.of(name), "the gradient of the player's own loss") for name in players),
        *(Learned((name,), sense="for a fixed layer, g approaches the inverse of the layer") for name in inverses),
        *([Aligns(network.hidden)] if difference else []),
    )


@final
class Sloped(nn.Module):
    """A last layer that also plays the gradient of the loss in its input, as a value.

    module: makes the layer. loss: makes the loss, a function of (output, y).
    """

    def __init__(self, module: Factory, loss: Factory) -> None:
        super().__init__()
        self.module: nn.Module = module()
        self.loss = make_operator(loss)

    def forward(self, S: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the layer's output for S, (batch, ...).

        If labels y are given, return the gradient of each example's loss with respect to S instead, of the shape of S.
        """
        if y is None:
            return self.module(S)
        with torch.enable_grad():
            S = S.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.loss(self.module(S), y), S)
        return len(S) * slope


def stepped(S: Tensor, slope: Tensor, rate: float) -> Tensor:
    """Return S - rate slope: the target of the highest hidden layer. slope: the gradient of each example's loss."""
    return S - rate * slope


def corrected(S: Tensor, inverted: Tensor, target: Tensor) -> Tensor:
    """Return S - g(S') + g(t'), the target of a layer. S: its output. inverted: g(S'). target: g(t')."""
    return S - inverted + target


def distance(S: Tensor, target: Tensor, rate: float) -> Tensor:
    """Return |S - t|^2 / (2 rate), 0-d, a mean over the batch. t: the target.

    With the step of `stepped`, its gradient in S is the gradient of the network's loss.
    """
    return (S - target).square().sum() / (2 * rate * len(S))
