"""A chain of linear layers and rectifiers or tanh, whose products are written by hand.

The most common operator of all. Recording it, and asking the engine for each of many small operators, costs more than
its products do on small batches; and a record must be walked twice where the message upstream goes first.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.parametrize import is_parametrized

from antiphon.oracles.tape import Products

_ELEMENTWISE: dict[type[nn.Module], tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    # value of x; cotangent of x from the cotangent and the value of the output, as torch has them
    nn.ReLU: (torch.relu, lambda told, played: torch.ops.aten.threshold_backward(told, played, 0)),
    nn.Tanh: (torch.tanh, torch.ops.aten.tanh_backward),
}


@final
class ChainTape:
    """Queries `links` one after the other. Made by `chain_of` only, which knows when it may be.

    products: how many responses one query gets.
    """

    def __init__(self, links: Sequence[nn.Module], products: int) -> None:
        self._links, self._products, self._left = tuple(links), products, 0
        self._values: list[Tensor] = []
        self._told: Tensor | None = None
        self._cotangents: list[Tensor | None] = []

    @torch.no_grad()
    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Every link's value is kept: the input of link i at position i, the output of the chain at the end."""
        self._values, self._told, self._left = [inputs[0]], None, self._products
        for link in self._links:
            x = self._values[-1]
            value = linear(x, link.weight, link.bias) if isinstance(link, nn.Linear) else _ELEMENTWISE[type(link)][0](x)
            self._values.append(value)
        return (self._values[-1],)

    @property
    def queried(self) -> bool:
        """Whether a response is left."""
        return self._left > 0

    @torch.no_grad()
    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Walks down the chain once for each message; the upstream end and the player's part are read off that walk."""
        self._left -= 1
        (told,) = cotangents
        assert told is not None  # a product has at least one message
        if told is not self._told:
            self._walk(told)
        upstream = tuple(self._upstream() for _ in toward)
        own = tuple(each for index in range(len(self._links)) for each in self._own(index)) if parameters else ()
        return upstream, own

    def forget(self) -> None:
        """Drop the values."""
        self._values, self._told, self._cotangents, self._left = [], None, [], 0

    def _walk(self, told: Tensor) -> None:
        """The cotangent of every link's output, down to the first link's."""
        self._told, current = told, told
        found: list[Tensor | None] = [None] * len(self._links)
        for index in range(len(self._links) - 1, 0, -1):
            found[index] = current
            current = self._before(index, current)
        found[0] = current
        self._cotangents = found

    def _before(self, index: int, told: Tensor) -> Tensor:
        """The cotangent of a link's input from that of its output."""
        link = self._links[index]
        if isinstance(link, nn.Linear):
            return told @ link.weight
        return _ELEMENTWISE[type(link)][1](told, self._values[index + 1])

    def _upstream(self) -> Tensor:
        told = self._cotangents[0]
        assert told is not None  # filled by the walk
        return self._before(0, told)

    def _own(self, index: int) -> tuple[Tensor, ...]:
        link, told = self._links[index], self._cotangents[index]
        if not isinstance(link, nn.Linear) or told is None:
            return ()
        weight = told.t() @ self._values[index]
        return (weight,) if link.bias is None else (weight, told.sum(0))


def chain_of(
    function: Callable[..., Any], inputs: int, dimensions: int, products: int
) -> ChainTape | None:  # Any: what modules play
    """The chain that a module is, or None where only torch can tell.

    inputs: how many it takes; dimensions: of its output; products: how many responses one query gets.
    A chain is a `nn.Linear`, or a `nn.Sequential` (or a class of one that adds no forward of its own) of `nn.Linear`,
    `nn.ReLU` and `nn.Tanh`, all of exactly these types, free of hooks and in-place operations, with every parameter
    learned, on (batch, features).
    """
    if inputs != 1 or dimensions != 2 or not isinstance(function, nn.Module):
        return None
    links = [function]
    if isinstance(function, nn.Sequential) and type(function).forward is nn.Sequential.forward:
        links = list(function)
    modules = [function, *links]
    if not links or any(_is_hooked(module) for module in modules) or not all(map(_is_link, links)):
        return None
    learned = all(parameter.requires_grad for parameter in function.parameters())
    distinct = len({id(link) for link in links if isinstance(link, nn.Linear)})
    repeated = distinct != sum(isinstance(link, nn.Linear) for link in links)
    return ChainTape(links, products) if learned and not repeated else None


def _is_link(module: nn.Module) -> bool:
    if type(module) is nn.Linear:
        return True
    return type(module) in _ELEMENTWISE and not getattr(module, "inplace", False)


def _is_hooked(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks) or is_parametrized(module)
