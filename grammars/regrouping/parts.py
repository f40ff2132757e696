"""Divide a module into parts: a network into its layers, or a layer into its units."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from antiphon.errors import GrammarError
from antiphon.grammars.brick import ENTRANCE, Brick, BrickNode
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import made_for, make_module
from antiphon.grammars.plain import is_hooked, is_plain
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.regrouping.composite import Composite
from antiphon.grammars.seeds import forked
from antiphon.grammars.typed import typed

ELEMENTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Identity)
"""Elementwise modules without parameters. When a layer is divided into units, each unit gets its own copy of these."""


class Child:
    """A factory of a submodule: it makes the module of the factory `whole`, and returns the submodule at `path`.

    Under the same seed, the submodule has the same initial parameters as inside the whole module. `Child` is a class,
    because an operator that is made with arguments must be made by a class.
    """

    def __new__(cls, whole: Factory, path: str) -> Any:  # Any: a module, of whichever class
        """Make the module of the factory `whole`, and return its submodule at `path`."""
        return make_module(whole).get_submodule(path)


class Unit:
    """A factory of one unit of a linear layer, (batch, n) -> (batch, 1).

    The unit has one row of the layer's weights, its bias, and the elementwise functions that follow the layer.
    """

    def __new__(cls, whole: Factory, index: int) -> Any:  # Any: nn.Linear, or nn.Sequential of it and functions
        """Make the layer of the factory `whole`, and return a module with the parameters of the unit `index`."""
        module = make_module(whole)
        linear, *functions = _links(module) or [module]
        unit = nn.Linear(linear.in_features, 1, bias=linear.bias is not None, dtype=linear.weight.dtype)
        for own, layers in zip(unit.parameters(), linear.parameters(), strict=True):
            own.data.copy_(layers.data[index : index + 1])
            own.requires_grad_(layers.requires_grad)
        return nn.Sequential(unit, *functions) if functions else unit


@typed
def children(whole: Factory) -> Brick:
    """Divide a network into its child modules, and return them as a brick (a graph of players and operators).

    Children with parameters become players. Children without parameters become operators. A child that occurs twice in
    the network becomes one player that computes twice.
    whole: the factory of the network. The network must be an `nn.Sequential`, a subclass of it without its own forward,
    or a `Composite`.
    Raises GrammarError for another module, and for a child that has parameters or buffers, but nothing to learn.
    """
    module = _made(whole)
    if isinstance(module, Composite):
        return _of_composite(whole, module.brick)
    links = _links(module)
    if not links:
        raise GrammarError(
            f"{whole!r} is no chain of modules: {type(module).__name__} has a forward, hooks or parameters of its own, "
            "or its links share some; expected nn.Sequential, or a class of one that adds nothing. "
            "Write down what it computes as a Brick of "
            "`Factory.of(Child, whole, path)` and of operators, and pass `into=lambda whole: brick`."
        )
    assert isinstance(module, nn.Sequential)  # held by _links
    first: dict[int, str] = {}
    parts: list[BrickNode] = []
    for name, child in module._modules.items():
        assert child is not None  # a chain calls each of them
        owner = first.setdefault(id(child), name)
        uses = sum(part.owner == owner for part in parts)
        before = Port(parts[-1].name) if parts else Port(ENTRANCE)
        parts.append(_part(whole, owner if uses == 0 else f"{owner}#{uses + 1}", owner, child, before))
    return Brick(tuple(parts), (Port(parts[-1].name),))


@typed
def units(whole: Factory) -> Brick:
    """Divide a linear layer into its units, and return them as a brick (a graph of players and operators).

    Each unit becomes a player. An operator, `join`, concatenates the outputs of the units.
    whole: the factory of the layer: an `nn.Linear`, or an `nn.Sequential` of an `nn.Linear` and elementwise functions
    such as ReLU. Each unit then applies the same functions. Raises GrammarError for another module.
    """
    module = _made(whole)
    linear, *functions = _links(module) or [module]
    if not _is_layer(linear, functions):
        raise GrammarError(
            f"{whole!r} is no layer of units: expected nn.Linear, alone or before elementwise functions in a chain, "
            "without hooks or parametrizations; "
            f"found {', '.join(type(each).__name__ for each in (linear, *functions))}. "
            "Refine it into its children first, or leave it whole."
        )
    names = [f"unit{index}" for index in range(linear.out_features)]
    parts = [
        BrickNode(name, Kind.PLAYER, name, Factory.of(Unit, whole, index), (Port(ENTRANCE),))
        for index, name in enumerate(names)
    ]
    joined = BrickNode("join", Kind.OPERATOR, "join", Factory.of(join), tuple(map(Port, names)))
    return Brick((*parts, joined), (Port("join"),))


def join(*values: Tensor) -> Tensor:
    """Concatenate the outputs of the units of a layer: (..., 1) each -> (..., units)."""
    return torch.cat(values, dim=-1)


def _made(whole: Factory) -> nn.Module:
    with forked():
        return made_for(f"{whole!r}, to be taken apart,", make_module, whole)


def _links(module: nn.Module) -> list[Any]:  # Any: modules, of whichever class
    """Return the children of an `nn.Sequential` in order.

    Returns an empty list for another module, and if two different children share parameters or buffers.
    """
    if not isinstance(module, nn.Sequential) or not is_plain(module, nn.Sequential):
        return []
    links = {id(each): each for each in module}.values()
    held = [id(each) for link in links for each in (*link.parameters(), *link.buffers())]
    alone = len(set(held)) == len(held) == len([*module.parameters(), *module.buffers()])
    return list(module) if alone else []


def _is_layer(linear: nn.Module, functions: Sequence[nn.Module]) -> bool:
    plain = all(type(each) in ELEMENTWISE and is_plain(each, type(each)) for each in functions)
    if not plain or type(linear) is not nn.Linear or not is_plain(linear, nn.Linear):
        return False
    numbers = list(linear._parameters.values())
    return not linear._buffers and not is_hooked(each for each in numbers if each is not None)


def _of_composite(whole: Factory, brick: Brick) -> Brick:
    members = {owner: Factory.of(Child, whole, f"members.{index}") for index, owner in enumerate(brick.players)}
    parts = (BrickNode(p.name, p.kind, p.owner, members.get(p.owner, p.factory), p.inputs) for p in brick.parts)
    return Brick(tuple(parts), brick.outputs, brick.inputs)


def _part(whole: Factory, name: str, owner: str, child: nn.Module, before: Port) -> BrickNode:
    if any(parameter.requires_grad for parameter in child.parameters()):
        return BrickNode(name, Kind.PLAYER, owner, Factory.of(Child, whole, owner), (before,))
    if next(child.parameters(), None) is not None or next(child.buffers(), None) is not None:
        raise GrammarError(
            f"child {owner!r} of {whole!r}, a {type(child).__name__}, holds numbers that no player would have; "
            "expected parameters to learn, or no numbers at all. Leave the player whole, or let its parameters be "
            "learned."
        )
    plain = type(child) in ELEMENTWISE and is_plain(child, type(child)) and not child.extra_repr()
    return BrickNode(
        name, Kind.OPERATOR, owner, Factory.of(type(child)) if plain else Factory.of(Child, whole, owner), (before,)
    )
