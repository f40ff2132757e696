"""Hand-written vector-Jacobian products for chains of linear layers, ReLU and tanh, the most common operator.

For small batches, the overhead of autograd takes longer than the products. Autograd also needs two passes over its
graph if the gradient of the input is sent before the gradients of the parameters are computed.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, final

import torch
from torch import Tensor, nn

from antiphon.grammars.joined import Joined
from antiphon.grammars.plain import is_affine, is_plain
from antiphon.oracles.affine import affine, times
from antiphon.oracles.tape import Products, Tape
from antiphon.oracles.watch import Watch

_threshold_backward = torch.ops.aten.threshold_backward.default


class _Elementwise(NamedTuple):
    """A function as torch computes it: x -> output, the same in place of x, and its gradient.

    down: (cotangent of the output, output) -> cotangent of x.
    """

    up: Callable[[Tensor], Tensor]
    up_in_place: Callable[[Tensor], Tensor]
    down: Callable[[Tensor, Tensor], Tensor]


_ELEMENTWISE: dict[type[nn.Module], _Elementwise] = {
    nn.ReLU: _Elementwise(torch.relu, torch.relu_, lambda told, played: _threshold_backward(told, played, 0)),
    nn.Tanh: _Elementwise(torch.tanh, torch.tanh_, torch.ops.aten.tanh_backward.default),
}

Link: TypeAlias = tuple[Tensor, Tensor | None] | type[nn.Module]
"""Weight and bias of a linear layer, or the class of an elementwise function."""


@final
class ChainTape:
    """Computes the outputs and the gradients of a chain of linear layers, ReLU and tanh, without autograd.

    module: the whole chain. links: its layers in order. Several inputs are concatenated before the first layer. keep:
    whether queries keep the values that the gradients need. recorded: computes outputs and gradients with autograd. It
    is used if a query finds that hooks or methods were added to `module`.
    Only `chain_of` makes this object. It has checked that the links in order compute the same as `module`.
    """

    def __init__(self, module: nn.Module, links: Sequence[nn.Module], keep: bool, recorded: Tape) -> None:
        self._links = tuple(_link(each) for each in links)
        self._steps = [_step(*pair) for pair in zip((None, *self._links), self._links, strict=False)]
        self._watch, self._recorded, self._by_hand = Watch(module, links), recorded, True
        self._keep = keep
        self._widths: list[int] = []
        self._values: list[Tensor] = []
        self._told: Tensor | None = None
        self._cotangents: list[Tensor] = []

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return a tuple with the output of the chain. Keep the inputs and outputs of all layers for `respond`."""
        self._by_hand = self._watch.holds()
        return self._walk_up(inputs) if self._by_hand else self._recorded.query(inputs)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradients of the inputs `toward`, and the gradients of the parameters.

        cotangents: the gradient of the output of the last query, as the only element. parameters: whether the gradients
        of the parameters are asked; else the second tuple is empty. If the method is called twice with the same
        cotangent, the second call uses the backward pass of the first call.
        """
        if not self._by_hand:
            return self._recorded.respond(cotangents, toward, parameters)
        (told,) = cotangents
        assert told is not None  # a product has at least one message
        if told is not self._told:
            self._walk_down(told)
        upstream = self._upstream(toward) if toward else ()
        own = [each for index in range(len(self._links)) for each in self._own(index)] if parameters else []
        return upstream, tuple(own)

    def forget(self) -> None:
        """Drop the values that the last query kept."""
        self._values, self._told, self._cotangents = [], None, []
        if not self._by_hand:
            self._recorded.forget()

    def _walk_up(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        self._widths, self._told = [each.shape[-1] for each in inputs], None
        x = inputs[0] if len(inputs) == 1 else torch.cat(list(inputs), dim=-1)
        values = [x]
        for step in self._steps:
            x = step(x)
            values.append(x)
        self._values = values if self._keep else []
        return (x,)

    def _upstream(self, toward: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the gradients of the inputs with the indices `toward`."""
        found = self._before(0, self._cotangents[0])
        parts = found.split(self._widths, dim=-1) if len(self._widths) > 1 else (found,)
        return tuple([parts[index] for index in toward])

    def _walk_down(self, told: Tensor) -> None:
        """Compute the gradient of the output of every layer, from last to first. told: that of the last layer."""
        found = [told]
        for index in range(len(self._links) - 1, 0, -1):
            found.append(self._before(index, found[-1]))
        self._told, self._cotangents = told, found[::-1]

    def _before(self, index: int, told: Tensor) -> Tensor:
        """Return the gradient of the input of layer `index`. told: the gradient of the output of this layer."""
        link = self._links[index]
        if isinstance(link, tuple):
            return times(told, link[0])
        return _ELEMENTWISE[link].down(told, self._values[index + 1])

    def _own(self, index: int) -> tuple[Tensor, ...]:
        link, told = self._links[index], self._cotangents[index]
        if not isinstance(link, tuple):
            return ()
        weight = times(told.t(), self._values[index])
        return (weight,) if link[1] is None else (weight, told.sum(0))


def chain_of(
    function: Callable[..., Any],  # Any: modules return any type
    inputs: int,
    dimensions: int,
    keep: bool,
    parameters: Sequence[Tensor],
    recorded: Tape,
) -> ChainTape | None:
    """Return an object that computes the outputs and gradients of `function` without autograd.

    Returns None unless `function` is a chain: a `nn.Linear`, or a `nn.Sequential` of `nn.Linear`, `nn.ReLU` and
    `nn.Tanh`, on inputs (batch, features). With several inputs, a chain is a `Joined` of such layers, which joins
    the inputs. A subclass of `nn.Sequential` or `Joined` may only add a constructor. The layers have no hooks and no
    methods of their own, do not work in place, and use each parameter once.
    inputs: number of inputs. dimensions: number of dimensions of the output. keep: whether queries keep the values that
    the gradients need. parameters: the parameters whose gradient is asked, in order; empty if it is never asked.
    recorded: computes outputs and gradients with autograd, if hooks or methods are added to the chain later.
    """
    if dimensions != 2 or not isinstance(function, nn.Module):
        return None
    held: list[nn.Module | None] = [function] if inputs == 1 else []
    if is_plain(function, nn.Sequential if inputs == 1 else Joined):
        held = list(function._modules.values())
    links = [each for each in held if each is not None and _is_link(each)]
    if not links or len(links) != len(held):
        return None
    found = [each for link in links for each in link.parameters()]
    if parameters and list(map(id, found)) != [id(each) for each in parameters if each.requires_grad]:
        return None
    if len(set(map(id, found))) != len(found):
        return None
    if {id(each) for each in function.parameters()} != set(map(id, found)):
        return None
    return ChainTape(function, links, keep, recorded)


def _is_link(module: nn.Module) -> bool:
    if type(module) in _ELEMENTWISE:
        return is_plain(module, type(module)) and not getattr(module, "inplace", False) and not module._parameters
    return is_affine(module)


def _link(module: nn.Module) -> Link:
    if type(module) in _ELEMENTWISE:
        return type(module)
    weight, bias = module._parameters["weight"], module._parameters["bias"]
    assert weight is not None  # as `is_affine` says
    return weight, bias


def _step(before: Link | None, link: Link) -> Callable[[Tensor], Tensor]:
    """Return the function that computes a layer. before: the layer before it.

    An elementwise function works in place of the output of a linear layer, which no gradient needs.
    """
    if isinstance(link, tuple):
        return partial(affine, weight=link[0], bias=link[1])
    return _ELEMENTWISE[link].up_in_place if isinstance(before, tuple) else _ELEMENTWISE[link].up
