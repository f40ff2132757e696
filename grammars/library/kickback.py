"""Grammar 5, kickback: each layer estimates its gradient from one broadcast number per example (essay, section 2.5)."""

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars import (
    Exact,
    Factory,
    Grammar,
    Guarantee,
    OracleDeclaration,
    PlayerLoss,
    Port,
    QueryDraft,
    ResponseDraft,
    SignCorrect,
    Value,
    minimise,
    promised,
    typed,
)
from antiphon.grammars.inference import make_operator
from antiphon.grammars.library.kicking import Weights
from antiphon.grammars.maps import shows_nonfinite


@typed
def kickback(nature: OracleDeclaration, layers: Mapping[str, Factory], loss: Factory = Factory(mse_loss)) -> Grammar:
    """Make the grammar of kickback: a feedforward network with one output, whose layers do not wait for each other's
    gradients.

    nature: an oracle whose first question answers (x, y). loss: a function of (output, y), a mean over the batch; the
    output is (batch, 1). layers: the layers in order, by name; each is a player with two outputs: `forward(S) -> (S',
    kick)`. S' is the layer's output. kick has the shape of S: it is the gradient of the sum of S' with respect to S,
    and does not depend on the loss (the module `kicking` has such layers).

    The Response graph differs from the chain rule: the vector-Jacobian products of layers send nothing upstream. Only
    the product of the loss does: it sends beta = d loss / d output, one number per example, to all layers. Layer i
    multiplies beta with the kick that layer i + 1 played. The product of layer i takes the result as its cotangent.
    Raises GrammarError for a layer with other outputs, ShapeError for a network output that is not (batch, 1).
    """
    q = QueryDraft()
    signal, y = q.oracle("Nature", nature)()
    played, kicks = dict[str, Value](), dict[str, Value]()
    for name, factory in layers.items():
        signal, kicks[name] = _kicking(name, signal, q.player(name, factory)(signal))
        played[name] = signal
    _check_output(played)
    objective = minimise(error := q.loss("Loss", loss)(signal, y))

    r = ResponseDraft(q.graph())
    beta = r.product(error, r.seed(error)).toward(0)
    told, own = dict.fromkeys(layers, beta), dict[str, PlayerLoss]()
    for name, above in itertools.pairwise(layers):
        told[name] = r.map(kicked, beta, r.tap(kicks[above]), name=f"kicked {name}")
        own[name] = PlayerLoss.of(local_loss, signal, y, played[above], played[name], loss=loss)
    for name in layers:
        r.deliver(name, r.product(played[name], told[name], None).parameters)
    return Grammar("kickback", q.graph(), r.graph(), objective, _promised(tuple(layers), own))


@shows_nonfinite
def kicked(beta: Tensor, kick: Tensor) -> Tensor:
    """Estimate the gradient with respect to a layer's output as beta times kick.

    beta: the gradient of the loss with respect to the network's output, (batch, 1). kick: the factor that the next
    layer returns, (batch, *units). Returns (batch, *units).
    """
    return beta.reshape(-1, *[1] * (kick.dim() - 1)) * kick


def local_losses(beta: Tensor, kick: Tensor, played: Tensor) -> Tensor:
    """Compute the local loss of each unit of a layer: beta times kick times the unit's output, summed over the batch.

    beta: the gradient of the network's loss with respect to its output, (batch, 1). kick: the kick that the next layer
    plays, (batch, *units). played: the layer's output, (batch, *units). Returns (*units). beta and kick are held fixed.
    The layer's response is the exact gradient of the sum of these losses with respect to its parameters. The Query
    graph does not compute these losses.
    """
    return (kicked(beta, kick).detach() * played).sum(0)


def local_loss(output: Tensor, y: Tensor, above: Tensor, played: Tensor, loss: Factory) -> Tensor:
    """Compute the loss that one layer minimises in kickback, 0-d, with torch's autograd graph.

    The loss is the sum of beta times kick times the layer's output. output: output of the network,
    (batch, 1). y: the label. above: output of the next layer. played: output of this layer. Autograd computes the kick;
    the kick that the next layer returns is not used. So a check of the layer's gradient finds a layer that returns a
    wrong kick.
    """
    with torch.enable_grad():
        output = output.detach().requires_grad_()
        (beta,) = torch.autograd.grad(make_operator(loss)(output, y), output)
        (kick,) = torch.autograd.grad(above.sum(), played, retain_graph=True)
    return local_losses(beta, kick, played).sum()


PREMISE = "no path product is negative"
"""A path product is the product of weights and signs along a path from a unit to the output. The layers of `kicking`
satisfy the premise if their weights are coherent."""


def always_coherent(modules: Mapping[str, nn.Module], values: Mapping[Port, Tensor]) -> bool:
    """Whether all layers except the first have weights whose signs always stay coherent (`Weights.COHERENT`).

    If so, the premise of kickback's promise holds: no product of weights along a path to the output is negative.
    """
    return all(getattr(module, "weights", None) is Weights.COHERENT for module in [*modules.values()][1:])


def _promised(layers: tuple[str, ...], own: Mapping[str, PlayerLoss]) -> Guarantee:
    """Return what the grammar kickback guarantees about the gradient that each layer of a network receives.

    layers: names of the layers, from input to output. own: the local loss of each layer, by its name.
    The last two layers receive the exact gradient of the network's loss. Each layer before them receives the exact
    gradient of its own local loss. If no product of weights along a path to the network's output is negative, the
    gradient of a layer's local loss and the gradient of the network's loss, both with respect to the output of this
    layer, have the same sign, or one of the two is zero.
    """
    exact, below = promised(Exact(layers[-2:])), layers[:-2]
    if not below:
        return exact
    sense = "the response is the gradient of the layer's own loss, feedback times activation"
    local = promised(*(Exact((name,), own[name], sense) for name in below))
    return exact + local + promised(SignCorrect(below, PREMISE, holds=Factory(always_coherent)))


def _kicking(name: str, signal: Value, played: Value | tuple[Value, ...]) -> tuple[Value, Value]:
    outputs = (played,) if isinstance(played, Value) else played
    if len(outputs) != 2 or outputs[1].type != signal.type:
        raise GrammarError(
            f"layer {name!r} plays {', '.join(repr(each.type) for each in outputs)} from {signal.type!r}; expected its "
            f"output and its kick, which is {signal.type!r} as its input is. Return both from its forward, or take a "
            "layer of `antiphon.grammars.library.kicking`."
        )
    return outputs[0], outputs[1]


def _check_output(played: Mapping[str, Value]) -> None:
    if not played:
        raise GrammarError("kickback was given no layers; expected at least one. Name them in order.")
    name, output = list(played.items())[-1]
    if len(output.type.shape) != 2 or output.type.shape[1] != 1:
        raise ShapeError(
            f"layer {name!r} is the last of kickback and plays {output.type!r}; expected (batch, 1), because what is "
            "broadcast is one number per example. Give it one output, or play a network for each."
        )
