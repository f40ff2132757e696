"""Refuses the derivative of a gradient that torch cannot differentiate again, before the first round."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from antiphon.errors import FOREIGN, GrammarError, unstopped
from antiphon.grammars.derived import Derivative, learned
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import SMALL, made_if_small, make_module, make_operator
from antiphon.grammars.oracle import Oracle, OracleDeclaration
from antiphon.grammars.process_state import ProcessState
from antiphon.grammars.query import Kind, Node, QueryGraph
from antiphon.grammars.sampling import draw
from antiphon.grammars.seeds import forked
from antiphon.grammars.types import Batch, EdgeType

TOLERANCE = 1e-3
"""Largest error of a gradient of float32 in a trial, relative to the sum of absolute terms."""


def refuse_once_differentiable(who: str, query: QueryGraph, node: Node) -> None:
    """Raise GrammarError if a node is a gradient that torch cannot differentiate again.

    who: the node of the Response graph that asks for the product of this node. The gradient is computed and
    differentiated on random values. A module that refuses these values is not refused, nor a very large one.
    """
    if not isinstance(node.view, Derivative):
        return
    view, types = node.view, [query.type_of(port) for port in node.inputs]
    if view.start is not None:  # in a trial the cotangent is an input, as a loss may be linear in all others
        types = [query.by_name[view.of].outputs[view.start], *types]
        view = replace(view, places=(view.start,), start=None)
    if reason := _obstacle(*_maker_of(query, node), view, tuple(types), tuple(query.sizes.items())):
        raise GrammarError(
            f"response node {who!r} asks for the derivative of {node.name!r}, the gradient of {node.view.of!r}, which "
            f"torch cannot differentiate again: {reason}. Expected a backward made of torch operations. Write it so, "
            "or hold the gradient fixed (`held=`)."
        )


def maker_of(kind: Kind, factory: Factory) -> Callable[[Factory], Callable[..., Any]]:  # Any: what it computes
    """Return the function that makes, from its factory, what a node of this kind calls."""
    return make_module if kind is Kind.PLAYER else make_operator


def _maker_of(
    query: QueryGraph, node: Node
) -> tuple[Callable[[Factory], Callable[..., Any]], Factory]:  # Any: what the node computes
    if node.kind is Kind.ORACLE:
        declaration = next(each.declaration for each in query.oracles if each.name == node.owner)
        return make_operator, Factory.of(Asked, declaration, node.question)
    if node.kind is Kind.PLAYER:
        return make_module, query.player_by_name[node.owner].factory
    assert node.operator is not None  # operators and losses have one
    return make_operator, node.operator


class Asked:
    """One question of an oracle that is made for a trial, as a function of its inputs."""

    def __init__(self, declaration: OracleDeclaration, question: str) -> None:
        self._oracle: Oracle = declaration.make(seed=0)
        self._question = question

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the oracle's answer."""
        return tuple(self._oracle.answer(self._question, inputs, 0))


@functools.lru_cache(maxsize=256)
def _obstacle(
    make: Callable[[Factory], Callable[..., Any]],  # Any: what the node computes
    factory: Factory,
    view: Derivative,
    types: tuple[EdgeType, ...],
    sizes: tuple[tuple[str, int], ...],
) -> str:
    """Return why the product `view` cannot be differentiated; "" if it can, or if no trial shows it.

    types: those of the inputs of the product. sizes: of the symbolic dimensions.
    """
    known = {name for name, _ in sizes}
    symbols = {each.name for kind in types for each in kind.shape if isinstance(each, Batch)}
    if symbols - known or sum(prod(each.sized(dict(sizes))) for each in types) > SMALL:
        return ""
    with ProcessState.here().entered(), forked(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = made_if_small(view.of, make, factory)
        if module is None:
            return ""
        product = view.over(module)
        for kind in ("normal", "unit"):
            values = [draw(kind, each, dict(sizes)) for each in types]
            leaves = [each.requires_grad_(each.is_floating_point() or each.is_complex()) for each in values]
            try:
                with torch.enable_grad():
                    found = product(*leaves)
            except FOREIGN:  # the module may refuse these values with any error
                continue
            return _not_again(found, leaves[: len(view.places)], [*leaves, *learned(module)])
    return ""


def _not_again(found: Sequence[Tensor], cotangents: Sequence[Tensor], leaves: Sequence[Tensor]) -> str:
    """Return why gradients cannot be differentiated with respect to `leaves`; "" if they can.

    found: the gradients. They are linear in their cotangents. So the derivative with respect to the cotangents, times
    the cotangents, has to be the gradient. It is not, if a part of the backward lies outside of autograd.
    """
    asked, told = ([each for each in some if each.requires_grad] for some in (leaves, found))
    weights = {id(each): torch.randn_like(each) for each in found}
    parts = [weights[id(each)] * each.detach() for each in found]
    try:
        signs = [weights[id(each)] for each in told]
        again = torch.autograd.grad(told, asked, signs, allow_unused=True, materialize_grads=True) if told else ()
    except FOREIGN as error:  # a user's backward may raise anything
        return unstopped(error).strip().splitlines()[0].rstrip(".")
    if any(each.is_complex() for each in (*found, *cotangents)):
        return ""  # the derivative of a complex gradient is conjugated
    derivatives = {id(each): derivative for each, derivative in zip(asked, again, strict=bool(told))}
    linear = sum(float((each * derivatives[id(each)]).detach().sum()) for each in cotangents if told)
    wanted, size = (sum(float(each.sum()) for each in some) for some in (parts, [each.abs() for each in parts]))
    if abs(linear - wanted) <= TOLERANCE * size:
        return ""
    return "a part of its backward lies outside of autograd (`once_differentiable`, `detach`, numpy)"
