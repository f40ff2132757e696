"""Target propagation: each layer has a target of its own, which the inverse of the next layer computes.

Lee et al. 2015, Difference target propagation.
"""

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from antiphon.grammars import Factory, Grammar, OracleDeclaration, Value, minimise, typed
from antiphon.grammars.guarantee import Aligns, Exact, Guarantee, Learned, PlayerLoss, promised
from antiphon.grammars.inference import make_operator
from antiphon.grammars.library.feedforward import Network, feedforward, refuse_others, responses
from antiphon.grammars.library.penalty import itself
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
    network = feedforward(nature, _sloped(layers, loss), loss, players=2)
    for what, given in (("inverses", inverses), ("noises", noises)):
        refuse_others(what, network.layers[1:-1], given)
    q, (*hidden, output) = network.q, network.layers
    top, rebuilt = hidden[-1], dict[str, tuple[Value, Value]]()
    slope_of: Callable[..., Value] = output.handles[0]
    slope = slope_of(top.after, network.y)
    targets = {top.name: q.operator("step", stepped, rate=rate)(top.after, slope)}
    for index, above, below in zip(range(len(hidden), 1, -1), hidden[:0:-1], hidden[-2::-1], strict=True):
        inverse, noise = (
            q.player(f"Inverse{index}", inverses[above.name]),
            q.oracle(f"Noise{index}", noises[above.name]),
        )
        noisy = q.operator(f"disturb{index}", torch.add)(below.after, noise())
        back = inverse(above.ask(noisy))
        rebuilt[inverse.name] = back, q.loss(f"Error{index}", mse_loss)(back, noisy)
        found = inverse(targets[above.name])
        if difference:
            found = q.operator(f"shift{index}", corrected)(below.after, inverse(above.after), found)
        targets[below.name] = found
    apart = {each.name: q.loss(f"Gap of {each.name}", distance, rate=rate) for each in hidden}
    gaps = {each.name: apart[each.name](each.after, targets[each.name]) for each in hidden}
    r = responses(network, lambda r, below, _: r.product(gaps[below.name], r.seed(gaps[below.name])).toward(0))
    for name, (back, error) in rebuilt.items():
        r.deliver(name, r.product(back, r.product(error, r.seed(error)).toward(0)).parameters)
    own = {each.name: PlayerLoss.of(distance, each.after, targets[each.name], rate=rate) for each in hidden}
    own |= {name: PlayerLoss.of(itself, error) for name, (_, error) in rebuilt.items()}
    guarantee = _promises(network, own, difference)
    return Grammar("target-propagation", q.graph(), r.graph(), minimise(network.error), guarantee)


def _sloped(layers: Mapping[str, Factory], loss: Factory) -> Mapping[str, Factory]:
    """Return the layers, of which the last one also plays the gradient of the loss in its input."""
    return {**layers, **{name: Factory.of(Sloped, layers[name], loss) for name in [*layers][-1:]}}


def _promises(network: Network, own: Mapping[str, PlayerLoss], difference: bool) -> Guarantee:
    """Return the promises. own: the loss of each player except the last layer."""
    inverses = [name for name in own if name not in network.hidden]
    return promised(
        Exact((network.layers[-1].name,)),
        *(Exact((name,), loss, "the gradient of the player's own loss") for name, loss in own.items()),
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
    """Return |S - t|^2 / (2 rate), 0-d, a mean over the batch, with the target t held fixed.

    With the step of `stepped`, its gradient in S is the gradient of the network's loss.
    """
    return (S - target.detach()).square().sum() / (2 * rate * len(S))
