"""A feedforward network as a Query graph, for grammars that differ in how credit reaches its layers."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from antiphon.errors import GrammarError
from antiphon.grammars import Factory, OracleDeclaration, QueryDraft, ResponseDraft, Value
from antiphon.grammars.inference import makes_parameters
from antiphon.grammars.writing import Message, ProductHandle


@dataclass(frozen=True)
class Layer:
    """A player of a feedforward network, and the operators between it and the next player.

    name: the player's name. values: the player's output, then the output of each operator. handles: the player and the
    operators, in the same order.
    """

    name: str
    values: tuple[Value, ...]
    handles: tuple[Callable[[Value], Value], ...]

    @property
    def played(self) -> Value:
        """The output of the player."""
        return self.values[0]

    @property
    def after(self) -> Value:
        """The output of the last operator, which the next player takes."""
        return self.values[-1]

    def ask(self, value: Value) -> Value:
        """Ask the player and the operators once more, with another input. Returns the output of the last operator."""
        for handle in self.handles:
            value = handle(value)
        return value

    def inward(self, r: ResponseDraft, message: Message) -> Message:
        """Send a message about `after` back through the operators. Returns the message about `played`."""
        for value in self.values[:0:-1]:
            message = r.product(value, message).toward(0)
        return message


@dataclass(frozen=True)
class Network:
    """A feedforward network in a draft of a Query graph. Its last value is the first input of the loss `error`.

    x, y: the examples and their labels. layers: the players, from input to output.
    """

    q: QueryDraft
    x: Value
    y: Value
    layers: tuple[Layer, ...]
    error: Value

    @property
    def hidden(self) -> tuple[str, ...]:
        """The names of all players except the last one."""
        return tuple(layer.name for layer in self.layers[:-1])


@dataclass(frozen=True)
class RuleMessages:
    """The messages of which a rule can make the message about the output of one layer.

    error: the gradient of the loss with respect to the network's output. delta: the message about the output of the
    next player. product: the vector-Jacobian product of the next player with `delta`. above: the layer of that player.
    """

    error: Message
    delta: Message
    product: ProductHandle
    above: Layer


Rule = Callable[[ResponseDraft, Layer, RuleMessages], Message]
"""A function that writes the message about the output of a layer into the Response graph, and returns the message."""


def feedforward(nature: OracleDeclaration, layers: Mapping[str, Factory], loss: Factory, players: int = 1) -> Network:
    """Write the Query graph of a feedforward network, and return the network.

    nature: an oracle whose first question answers (x, y). layers: the layers by name, in order. A factory that makes
    parameters is a player; any other is an operator. loss: a function of (output, y), a mean over the batch.
    Raises GrammarError if fewer than `players` layers are players.
    """
    q, names = QueryDraft(), refuse_few(layers, players)
    x, y = q.oracle("Nature", nature)()
    made: list[Layer] = []
    signal = x
    for name, factory in layers.items():
        handle: Any = (q.player if name in names else q.operator)(name, factory)  # Any: a handle of either kind
        signal = handle(signal)
        if name in names:
            made.append(Layer(name, (signal,), (handle,)))
        elif made:
            last = made[-1]
            made[-1] = Layer(last.name, (*last.values, signal), (*last.handles, handle))
    return Network(q, x, y, tuple(made), q.loss("Loss", loss)(signal, y))


def refuse_few(layers: Mapping[str, Factory], players: int) -> list[str]:
    """Return the names of the layers that have parameters, in order.

    Raises GrammarError if there are fewer than `players`.
    """
    found = [name for name, factory in layers.items() if makes_parameters(factory, f"layer {name!r}")]
    if len(found) < players:
        raise GrammarError(
            f"a feedforward network was given the layers {[*layers]}, of which {len(found)} have parameters; expected "
            f"at least {players} such layers. Add a layer such as torch.nn.Linear."
        )
    return found


def responses(network: Network, rule: Rule) -> ResponseDraft:
    """Write a Response graph in which a rule makes the messages about the outputs of all layers except the last one.

    The last layer receives the gradient of the loss. In each layer, the operators and the player answer with their own
    vector-Jacobian products. The rule `lambda r, layer, arrived: arrived.product.toward(0)` is the chain rule.
    """
    r, found = ResponseDraft(network.q.graph()), dict[str, Message]()
    error = message = r.product(network.error, r.seed(network.error)).toward(0)
    for layer, below in itertools.zip_longest(network.layers[::-1], network.layers[-2::-1]):
        delta = layer.inward(r, message)
        product = r.product(layer.played, delta)
        found[layer.name] = product.parameters
        if below is not None:
            message = rule(r, below, RuleMessages(error, delta, product, layer))
    for layer in network.layers:
        r.deliver(layer.name, found[layer.name])
    return r


def gradient(loss: Tensor, value: Tensor) -> Tensor:
    """Return the gradient of a loss, 0-d, with respect to a value of torch's autograd graph."""
    with torch.enable_grad():
        return torch.autograd.grad(loss, value, retain_graph=True)[0]


def answered(loss: Tensor, value: Tensor, message: Tensor) -> Tensor:
    """Return the loss plus a term linear in `value` that makes the gradient with respect to `value` the message.

    So a Response graph that sends this message about `value`, and is the chain rule elsewhere, is exact for the result.
    """
    return loss + ((message - gradient(loss, value)).detach() * value).sum()


def numbers(value: Value) -> int:
    """Return how many numbers a value has for each example."""
    return prod(shape_of(value))


def shape_of(value: Value) -> tuple[int, ...]:
    """Return the shape of a value without its batch dimension."""
    return tuple(size for size in value.type.shape if isinstance(size, int))


def refuse_others(what: str, layers: tuple[Layer, ...], given: Mapping[str, object]) -> None:
    """Raise GrammarError unless `given` has exactly the names of these layers as keys.

    what: what is given for each layer, for the message.
    """
    names = [layer.name for layer in layers]
    if {*names} != {*given}:
        raise GrammarError(
            f"{what} were given for the layers {sorted(given)}; expected one for each of {names}. "
            "Name the layers as in `layers`, and no others."
        )
