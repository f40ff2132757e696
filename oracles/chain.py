"""Hand-written vector-Jacobian products for chains of linear layers, layer norms, ReLU and tanh.

For small batches, the overhead of autograd takes longer than the products. Autograd also needs two passes over its
graph if the gradient of the input is sent before the gradients of the parameters are computed.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from antiphon.grammars.joined import Joined
from antiphon.grammars.plain import is_plain
from antiphon.oracles.links import ChainLayer, Kept, link_of
from antiphon.oracles.tape import Products, Tape
from antiphon.oracles.watch import Watch


@final
class ChainTape:
    """Computes the outputs and the gradients of a chain of layers without autograd.

    watch: finds changes of the chain's module. links: its layers in order. Several inputs are concatenated before the
    first layer. keep: whether queries keep the values that the gradients need. recorded: computes outputs and gradients
    with autograd. It is used if a query finds that hooks or methods were added to the module.
    Call `chain_of` to make this object: it checks that the links in order compute the same as the module.
    """

    def __init__(self, watch: Watch, links: Sequence[ChainLayer], keep: bool, recorded: Tape) -> None:
        self._links, self._watch, self._recorded, self._by_hand = tuple(links), watch, recorded, True
        self._keep = keep
        self._widths: list[int] = []
        self._values: list[Kept] = []
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
        return upstream, tuple(self._own()) if parameters else ()

    def forget(self) -> None:
        """Drop the values that the last query kept."""
        self._values, self._told, self._cotangents = [], None, []
        if not self._by_hand:
            self._recorded.forget()

    def _walk_up(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        self._widths, self._told = [each.shape[-1] for each in inputs], None
        x = inputs[0] if len(inputs) == 1 else torch.cat(list(inputs), dim=-1)
        values = []
        for link in self._links:
            x, kept = link.up(x)
            values.append(kept)
        self._values = values if self._keep else []
        return (x,)

    def _upstream(self, toward: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the gradients of the inputs with the indices `toward`."""
        found = self._links[0].down(self._cotangents[0], self._values[0])
        parts = found.split(self._widths, dim=-1) if len(self._widths) > 1 else (found,)
        return tuple([parts[index] for index in toward])

    def _walk_down(self, told: Tensor) -> None:
        """Compute the gradient of the output of every layer, from last to first. told: that of the last layer."""
        found = [told]
        for link, kept in zip(self._links[:0:-1], self._values[:0:-1], strict=True):
            found.append(link.down(found[-1], kept))
        self._told, self._cotangents = told, found[::-1]

    def _own(self) -> list[Tensor]:
        """Return the gradients of the parameters of every layer, in order."""
        layers = zip(self._links, self._cotangents, self._values, strict=True)
        return [each for link, told, kept in layers for each in link.own(told, kept)]


def chain_of(
    function: Callable[..., Any],  # Any: modules return any type
    inputs: int,
    dimensions: int,
    keep: bool,
    parameters: Sequence[Tensor],
    recorded: Tape,
) -> ChainTape | None:
    """Return a tape that computes the outputs and gradients of `function` by hand, without autograd.

    Returns None unless `function` is a chain: a `nn.Linear`, or a `nn.Sequential` of the layers of `link_of`, on inputs
    (batch, features). With several inputs, a chain is a `Joined` of such layers, which joins the inputs. A subclass of
    `nn.Sequential` or `Joined` may only add a constructor. The layers have no hooks and no methods of their own, do not
    work in place, and use each parameter once.
    inputs: number of inputs. dimensions: number of dimensions of the output. keep: whether queries keep the values that
    the gradients need. parameters: the parameters whose gradient is asked, in order; empty if it is never asked.
    recorded: computes outputs and gradients with autograd, if hooks or methods are added to the chain later.
    """
    if dimensions != 2 or not isinstance(function, nn.Module):
        return None
    held: list[nn.Module | None] = [function] if inputs == 1 else []
    if is_plain(function, nn.Sequential if inputs == 1 else Joined):
        held = list(function._modules.values())
    links: list[ChainLayer | None] = []
    for each in held:
        links.append(link_of(each, links[-1] if links else None))
    modules, known = [each for each in held if each is not None], [each for each in links if each is not None]
    if not known or len(known) != len(held):
        return None
    found = [each for module in modules for each in module.parameters()]
    if parameters and list(map(id, found)) != [id(each) for each in parameters if each.requires_grad]:
        return None
    if len(set(map(id, found))) != len(found):
        return None
    if {id(each) for each in function.parameters()} != set(map(id, found)):
        return None
    return ChainTape(Watch(function, modules), known, keep, recorded)
