"""Grammar 5, kickback: R broadcasts one scalar, and each layer makes its own estimate of it (essay, section 2.5)."""

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


@typed
def kickback(nature: OracleDeclaration, layers: Mapping[str, Factory], loss: Factory = Factory(mse_loss)) -> Grammar:
    """A feedforward network with one output, whose layers do not wait for each other's gradients.

    nature: its first question answers (x, y). loss: a function of (output, y), a mean over the batch; the output is
    (batch, 1). layers: in order, all of them players with two outputs: `forward(S) -> (S', kick)`. S' is the layer's
    output. kick has the shape of S and needs no loss: it is the layer's vector-Jacobian product with a cotangent of
    ones (for such networks see `kicking`).

    R differs from the chain rule: products send nothing upstream. Only the loss is asked for a gradient in a value,
    beta = d loss / d output, one number per example, and it is broadcast to all layers. Layer i multiplies it with the
    kick that layer i + 1 played. The layer's own `*` does the gate and the outer product.
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


def kicked(beta: Tensor, kick: Tensor) -> Tensor:
    """An estimate of the gradient in a layer's output: beta, (batch, 1), times the kick of that output."""
    return beta.reshape(-1, *[1] * (kick.dim() - 1)) * kick


def local_losses(beta: Tensor, kick: Tensor, played: Tensor) -> Tensor:
    """The loss of each unit of a layer, feedback times activation, summed over the batch: what its player minimises.

    beta: (batch, 1); kick, played: (batch, *units). Returns (*units). Q does not compute it: the layer's response is
    the exact gradient of the sum of these losses in its parameters, with beta and kick held fixed.
    """
    return (kicked(beta, kick).detach() * played).sum(0)


def local_loss(output: Tensor, y: Tensor, above: Tensor, played: Tensor, loss: Factory) -> Tensor:
    """The sum of a layer's `local_losses`, 0-d, from values of Q with torch's autograd graph.

    output: of the network, (batch, 1). y: the label. above: output of the next layer. played: output of this layer. The
    kick is torch's derivative here, not the one that the next layer plays: so a wrong kick breaks the promise.
    """
    with torch.enable_grad():
        output = output.detach().requires_grad_()
        (beta,) = torch.autograd.grad(make_operator(loss)(output, y), output)
        (kick,) = torch.autograd.grad(above.sum(), played, retain_graph=True)
    return local_losses(beta, kick, played).sum()


PREMISE = "no path product is negative"
"""A path product is the product of weights and signs along a path from a unit to the output. The layers of `kicking`
satisfy the premise where their weights are coherent."""


def always_coherent(modules: Mapping[str, nn.Module], values: Mapping[Port, Tensor]) -> bool:
    """Whether every layer above the first keeps its weights coherent for all parameters. Then `PREMISE` holds."""
    return all(getattr(module, "weights", None) is Weights.COHERENT for module in [*modules.values()][1:])


def _promised(layers: tuple[str, ...], own: Mapping[str, PlayerLoss]) -> Guarantee:
    """Last two layers: exact. Layers below: exact for the layer's own loss, and sign-correct under a premise."""
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
