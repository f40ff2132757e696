"""What a node of the Query graph may compute from a module instead of its outputs: a product, or its parameters."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from antiphon.errors import GrammarError


class ModuleView(Protocol):
    """What a node computes from the module of its player (or the function of its operator).

    of: the node of the Query graph whose function this is; "" if it calls no function. own: whether the outputs depend
    on the player's own parameters.
    """

    @property
    def of(self) -> str: ...  # noqa: D102 - above

    @property
    def own(self) -> bool: ...  # noqa: D102 - above

    def over(self, module: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function that the node computes, made from a module or function."""
        ...


@final
@dataclass(frozen=True)
class Derivative:
    """The vector-Jacobian product (operator `*`) of another node, as a value of the Query graph.

    The node takes a cotangent for each output in `places`, and then the inputs of the node `of`. It plays the gradient
    of each input in `toward`, and then, if `parameters` is true, the gradient of the player's parameters, one vector.
    start: the output whose cotangent is 1 everywhere, if no cotangent is an input. inner: what the node `of` computes
    from the module; None for its outputs.
    """

    of: str
    places: tuple[int, ...]
    start: int | None
    toward: tuple[int, ...]
    parameters: bool
    inner: ModuleView | None = None

    @property
    def own(self) -> bool:
        """Whether the node `of` depends on the player's own parameters."""
        return self.inner is None or self.inner.own

    def over(self, module: Callable[..., Any]) -> "VectorJacobianProduct":
        """Return the function of the cotangents and the inputs that computes the product."""
        return VectorJacobianProduct(module, self)

    def __repr__(self) -> str:
        parts = [f"input {index}" for index in self.toward] + ["parameters"] * self.parameters
        return f"product of {self.of}, toward {', '.join(parts)}"


@final
@dataclass(frozen=True)
class OwnParameters:
    """The parameters of a player, as a value of the Query graph: one vector."""

    of: str = ""
    own: bool = True

    def over(self, module: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function without inputs that returns a copy of the module's parameters, one vector."""
        return lambda: _flat(learned(module))

    def __repr__(self) -> str:
        return "its parameters"


@final
@dataclass(frozen=True)
class GivenParameters:
    """The outputs of a player at parameters that are an input of the node: one vector, before all other inputs."""

    of: str = ""
    own: bool = False

    def over(self, module: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function of a parameter vector and the module's inputs that calls the module."""
        assert isinstance(module, nn.Module)  # only players have parameters
        named = {name: each.shape for name, each in module.named_parameters() if each.requires_grad}
        sizes = [shape.numel() for shape in named.values()]

        def played(parameters: Tensor, *inputs: Tensor) -> Any:  # Any: what the module plays
            parts = zip(named.items(), parameters.split(sizes), strict=True)
            given = {name: part.view(shape) for (name, shape), part in parts}
            return functional_call(module, given, inputs)

        return played

    def __repr__(self) -> str:
        return "at given parameters"


@final
class VectorJacobianProduct:
    """Computes a vector-Jacobian product of a function that torch can differentiate again.

    It calls the function once more, with the random numbers of its own node, and differentiates that call. So the
    product depends on its inputs and the parameters alone. Raises GrammarError if the call changes a buffer.
    """

    def __init__(self, module: Callable[..., Any], view: Derivative) -> None:
        self._view, self._parameters = view, learned(module) if view.parameters else []
        self._function = module if view.inner is None else view.inner.over(module)
        self._buffers = tuple(module.buffers()) if isinstance(module, nn.Module) else ()

    def __call__(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients of the inputs `toward`, and then that of the parameters, one vector.

        They are part of autograd's graph if gradients are recorded where this is called.
        """
        again, view = torch.is_grad_enabled(), self._view
        told, given = values[: len(view.places)], values[len(view.places) :]
        before = [buffer._version for buffer in self._buffers]
        with torch.enable_grad():
            inputs, cut = _apart(given, view.toward)
            played = self._function(*inputs)
            outputs = (played,) if isinstance(played, Tensor) else tuple(played)
            cotangents = told if view.start is None else (torch.ones_like(outputs[view.start]),)
            places = view.places if view.start is None else (view.start,)
            pairs = [(outputs[at], each) for at, each in zip(places, cotangents, strict=True)]
            asked = [*(inputs[index] for index in view.toward), *self._parameters]
            with cut.off():
                found = _gradients(pairs, asked, again)
        if before != [buffer._version for buffer in self._buffers]:
            raise GrammarError(
                f"the gradient of {view.of!r} is a value of the Query graph, so its module is called twice in a round, "
                "and it changes its buffers in each call (batch norm does); expected buffers that stay. Use a module "
                "without such buffers, or set this part to evaluation mode."
            )
        count = len(view.toward)
        return (*found[:count], *([_flat(found[count:])] if view.parameters else []))


class _Cut:
    """A switch. While it is off, no gradient passes the values that were set apart with it."""

    def __init__(self) -> None:
        self.passes = True

    @contextmanager
    def off(self) -> Iterator[None]:
        self.passes = False
        try:
            yield
        finally:
            self.passes = True


class _Apart(torch.autograd.Function):
    """The identity. Its gradient is that of the output while the switch is on, and otherwise nothing."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, cut: _Cut) -> Tensor:  # Any: torch's context
        """Return the value."""
        ctx.cut = cut
        return value.view_as(value)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,  # Any: torch's context
        gradient: Tensor,
    ) -> tuple[Tensor | None, None]:
        """Return the gradient, or None while the switch is off."""
        return gradient if ctx.cut.passes else None, None


def _apart(values: Sequence[Tensor], toward: Sequence[int]) -> tuple[list[Tensor], _Cut]:
    """Return the values, and a switch. While the switch is off, the values do not depend on each other, nor on the
    parameters from which they were computed.

    toward: indices of the values that require a gradient.
    """
    cut = _Cut()

    def of(index: int, value: Tensor) -> Any:  # Any: torch has no stub for `apply`
        if value.grad_fn is not None:
            return _Apart.apply(value, cut)
        if value.requires_grad:
            return value.view_as(value)
        return value.detach().requires_grad_() if index in toward else value

    return [of(index, value) for index, value in enumerate(values)], cut


def learned(module: Callable[..., Any]) -> list[Tensor]:
    """Return the parameters of a module that require a gradient; an empty list for any other function."""
    return [each for each in module.parameters() if each.requires_grad] if isinstance(module, nn.Module) else []


def viewed(view: ModuleView | None, module: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a node computes from its module: the module itself if `view` is None."""
    return module if view is None else view.over(module)


def _gradients(pairs: Sequence[tuple[Tensor, Tensor]], asked: Sequence[Tensor], again: bool) -> list[Tensor]:
    """Return the gradient of each tensor in `asked`, dense; zeros if no output depends on it.

    pairs: outputs, each with its cotangent. again: whether the gradients are differentiated again.
    """
    told = [(output, cotangent) for output, cotangent in pairs if output.requires_grad]
    if not told:
        return [torch.zeros_like(each) for each in asked]
    outputs, cotangents = zip(*told, strict=True)
    found = torch.autograd.grad(
        outputs, asked, cotangents, create_graph=again, allow_unused=True, materialize_grads=True
    )
    return [each.to_dense() if each.is_sparse else each for each in found]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])
