"""Sign-symmetry: the signs of the weights send the error downwards, in place of the weights themselves.

Liao, Leibo and Poggio 2016, How important is weight symmetry in backpropagation? (uniform sign-concordant feedback).
"""

import itertools
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from antiphon.grammars import Factory, Grammar, OracleDeclaration, Value, minimise, typed
from antiphon.grammars.guarantee import Aligns, Exact, PlayerLoss, promised
from antiphon.grammars.inference import made_for, make_module
from antiphon.grammars.library.feedforward import (
    answered,
    feedforward,
    gradient,
    refuse_few,
    responses,
)


@typed
def sign_symmetry(
    nature: OracleDeclaration, layers: Mapping[str, Factory], loss: Factory = Factory(cross_entropy)
) -> Grammar:
    """Make the grammar of sign-symmetry in a feedforward network whose layers are players.

    A player sends V' delta upstream, where delta is the message about its output, and V has the signs of its weights W
    and one size for all. The chain rule sends W' delta. For V, the Query graph asks each player a second time, with V
    in place of W (`Signed`). The message is the product of that node; its value is not used.
    nature: an oracle whose first question answers (x, y). layers: the layers by name, in order; a layer with parameters
    is a player, any other an operator. Give activations layers of their own, because delta is a gradient before the
    activation. loss: a function of (output, y), a mean over the batch.
    """
    players = refuse_few(layers, 1)
    network = feedforward(nature, {**layers, **{name: Factory.of(Signed, layers[name]) for name in players}}, loss)
    signed, signals = dict[str, Value](), list[Value]()
    for below, above in itertools.pairwise(network.layers):
        handle: Any = above.handles[0]  # Any: a handle of any kind
        signed[above.name] = handle(below.after, below.after)
        signals += [below.after, above.played, signed[above.name]]

    r = responses(network, lambda r, _, arrived: r.product(signed[arrived.above.name], arrived.delta).toward(0))
    own = PlayerLoss.of(by_signs, network.error, *signals)
    guarantee = promised(
        Exact((network.layers[-1].name,)),
        Exact(network.hidden, own, "the gradient, if messages pass the signs of the weights in place of the weights"),
        Aligns(network.hidden),
    )
    return Grammar("sign-symmetry", network.q.graph(), r.graph(), minimise(network.error), guarantee)


@final
class Signed(nn.Module):
    """A layer that can also be asked with the signs of its weights in place of the weights.

    module: makes the layer.
    """

    def __init__(self, module: Factory) -> None:
        super().__init__()
        self.module = made_for(f"the layer of {type(self).__name__}", make_module, module)

    def forward(self, S: Tensor, again: Tensor | None = None) -> Tensor:
        """Return the layer's output for S, (batch, ...); if S is given twice, its output with `signs` as weights."""
        if again is None:
            return self.module(S)
        weights = {name: signs(each) for name, each in self.module.named_parameters() if each.dim() > 1}
        return functional_call(self.module, weights, S)


def signs(weight: Tensor) -> Tensor:
    """Return V: the signs of the weights W, (outputs, ...), divided by sqrt(3 inputs), and held fixed.

    So V has the variance of torch's initial weights.
    """
    return weight.detach().sign() / (3 * weight[0].numel()) ** 0.5


def by_signs(error: Tensor, *signals: Tensor) -> Tensor:
    """Compute the loss that the hidden players minimise under sign-symmetry, 0-d, with torch's autograd graph.

    It is the network's loss plus, for each hidden output S, <V' delta - dL/dS, S>, with the first factor held fixed. So
    its gradient with respect to S is V' delta. error: the network's loss. signals: for each hidden layer, its output S;
    the output of the player above; and the output of that player with V as weights.
    """
    loss = error
    for below, played, signed in zip(signals[-3::-3], signals[-2::-3], signals[-1::-3], strict=True):
        (told,) = torch.autograd.grad(signed, below, gradient(loss, played), retain_graph=True)
        loss = answered(loss, below, told)
    return loss
