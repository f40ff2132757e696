"""Optimizes an objective with its gradients, and certifies that the result is a local optimum (essay, Definition 4).

The result is called a representation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from antiphon.agents.agent import Agent
from antiphon.agents.layout import laid_out, strides_of_gradient
from antiphon.agents.specification import AgentSpecification
from antiphon.errors import AgentError, OracleError
from antiphon.grammars.certificate import Certificate, certify
from antiphon.grammars.objective import Direction, sign_of
from antiphon.grammars.typed import typed

Theta = TypeVar("Theta", bound=Tensor | Mapping[str, Tensor])
"""The parameters theta: one tensor, or a mapping from names to tensors as for `torch.func.functional_call`."""

By: TypeAlias = AgentSpecification | Callable[[Sequence[Tensor]], Optimizer | Agent]
"""The optimizer: an agent specification, or a function of the parameters that returns a torch optimizer (L-BFGS too)
or an agent."""

LBFGS = partial(torch.optim.LBFGS, line_search_fn="strong_wolfe", tolerance_grad=0.0, tolerance_change=0.0)
"""The default optimizer. Its own stopping rules are off, so that `tolerance` of `arglocopt` decides."""


@dataclass(frozen=True, eq=False)
class Representation(Generic[Theta]):
    """The function f_theta at the local optimum theta that `arglocopt` found, with a certificate of the optimum.

    value: the objective at theta. gradients: number of queries of the objective; each returned the value and the
    gradient at one point. The queries of the certificate are not included. moves: number of moves of the optimizer.
    """

    parameters: Theta = field(repr=False)
    value: float
    direction: Direction
    gradients: int
    moves: int
    certificate: Certificate
    function: Callable[..., Any] | None = field(default=None, repr=False)  # Any: it may return any type

    def __call__(self, *inputs: Any) -> Any:
        """Return f_theta(*inputs). Raises OracleError if no function was given to `arglocopt`."""
        if self.function is None:
            raise OracleError(
                "a representation was asked for its function, and none was named; expected arglocopt(..., function=f) "
                "with f(theta, *inputs). Name it there, or use the parameters."
            )
        return self.function(self.parameters, *inputs)


@typed
def arglocmin(
    objective: Callable[[Theta], Tensor],
    start: Theta,
    **options: Any,  # of `arglocopt`
) -> Representation[Theta]:
    """Find a local minimum of `objective` from `start`, with the options of `arglocopt`. The result has a certificate.

    >>> found = arglocmin(lambda theta: (theta - 3).square().sum(), torch.zeros(2, dtype=torch.float64))
    >>> found.parameters
    tensor([3., 3.], dtype=torch.float64)
    >>> found.certificate.verdict
    <Verdict.STRICT: 'strict'>
    """
    return arglocopt(objective, start, Direction.MINIMISE, **options)


@typed
def arglocmax(
    objective: Callable[[Theta], Tensor],
    start: Theta,
    **options: Any,  # of `arglocopt`
) -> Representation[Theta]:
    """Find a local maximum of `objective` from `start`, with the options of `arglocopt`.

    The result has a certificate.
    """
    return arglocopt(objective, start, Direction.MAXIMISE, **options)


@typed
def arglocopt(
    objective: Callable[[Theta], Tensor],
    start: Theta,
    direction: Direction,
    *,
    by: By = LBFGS,
    function: Callable[..., Any] | None = None,
    queries: int = 10_000,
    tolerance: float = 1e-6,
) -> Representation[Theta]:
    """Optimize `objective` from `start` until the norm of its gradient is at most `tolerance`, and certify the result.

    objective: R(f_theta), made of torch operations, twice differentiable at the result. start: the first theta; its
    tensors are not changed.
    by: the optimizer; if it specifies an agent, the agent's cadence is not used. function: f(theta, *inputs), which a
    call of the result computes. queries: after this number of gradients, no further move begins. The search also ends
    if a move changes no parameter. If the gradient is then still too large, the verdict of the certificate is MOVING.
    The essay requires `tolerance` only.
    Raises OracleError if the objective is not a finite scalar, AgentError if `by` makes neither optimizer nor agent.
    """
    box = _GrayBox(objective, start, sign_of(direction))
    move, moves = _mover(by, box), 0
    while box.ask() > tolerance and box.asked < queries:
        before = [each.clone() for each in box.parameters]
        move()
        moves += 1
        if all(map(torch.equal, before, box.parameters)):
            break
    certificate = certify(box.of_vector, box.vector, direction, tolerance=tolerance)
    return Representation(box.theta, box.value, direction, box.asked, moves, certificate, function)


@final
class _GrayBox:
    """An objective, its current parameters with value and gradient, and the number of queries so far."""

    def __init__(self, objective: Callable[[Any], Tensor], start: Tensor | Mapping[str, Tensor], sign: float) -> None:
        self._objective, self._sign = objective, sign
        self._names = None if isinstance(start, Tensor) else tuple(start)
        tensors = (start,) if isinstance(start, Tensor) else tuple(start.values())
        self.parameters = tuple(each.detach().clone() for each in tensors)
        self.gradients: tuple[Tensor, ...] = ()
        self.value, self.asked = 0.0, 0

    @property
    def theta(self) -> Any:  # Any: it has the type of `start`
        """A copy of the current parameters."""
        return self._shaped(tuple(each.clone() for each in self.parameters))

    @property
    def vector(self) -> Tensor:
        """The current parameters as one vector, (d,)."""
        return torch.cat([each.reshape(-1) for each in self.parameters])

    def of_vector(self, vector: Tensor) -> Tensor:
        """Return the objective at parameters that are given as one vector, (d,)."""
        parts = vector.split([each.numel() for each in self.parameters])
        return self._objective(
            self._shaped(tuple(part.view_as(own) for part, own in zip(parts, self.parameters, strict=True)))
        )

    def ask(self) -> float:
        """Compute the objective's value and gradient at the current parameters. Return the norm of the gradient.

        The gradient is negated if the objective is maximised.
        """
        self.asked += 1
        leaves = tuple(each.detach().requires_grad_() for each in self.parameters)
        with torch.enable_grad():
            value = self._objective(self._shaped(leaves))
            _refuse_no_scalar(value)
            found = torch.autograd.grad(self._sign * value, leaves, allow_unused=True, materialize_grads=True)
        self.gradients = tuple(map(laid_out, found, map(strides_of_gradient, leaves)))
        self.value = float(value.detach())
        norm = float(torch.cat([each.reshape(-1) for each in self.gradients]).norm())
        if not torch.isfinite(torch.tensor([self.value, norm])).all():
            raise OracleError(
                f"the objective is {self.value} with a gradient of norm {norm} at query {self.asked}; expected finite "
                "numbers. Start elsewhere, or let the optimizer take smaller steps."
            )
        return norm

    def _shaped(self, tensors: tuple[Tensor, ...]) -> Any:  # Any: it has the type of `start`
        return tensors[0] if self._names is None else dict(zip(self._names, tensors, strict=True))


def _mover(by: By, box: _GrayBox) -> Callable[[], None]:
    """Return a function that makes one move of the optimizer `by`, with the gradient of the last query."""
    made = by.make("of arglocopt", box.parameters) if isinstance(by, AgentSpecification) else by(box.parameters)
    if isinstance(made, Optimizer):
        return lambda: _step(made, box)
    if not isinstance(made, Agent):
        raise AgentError(
            f"arglocopt was to optimize by a {type(made).__name__}; expected a torch optimizer, or an agent with hear, "
            "move, state and load. Pass what makes one of the parameters, or an AgentSpecification."
        )

    def move() -> None:
        made.hear(box.gradients)
        for own, moved in zip(box.parameters, made.move(), strict=True):
            own.copy_(moved.detach())

    return move


def _step(optimizer: Optimizer, box: _GrayBox) -> None:
    """Step a torch optimizer.

    The first call of its closure returns the last query; each further call makes a new query.
    """
    fresh = True

    def closure() -> float:
        nonlocal fresh
        if not fresh:
            box.ask()
        fresh = False
        for own, gradient in zip(box.parameters, box.gradients, strict=True):
            own.grad = gradient
        return box._sign * box.value

    optimizer.step(closure)


def _refuse_no_scalar(value: object) -> None:
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise OracleError(
            f"the objective of arglocopt played {found}; expected a 0-d tensor that depends on the parameters by torch "
            "operations. Return the mean or the sum."
        )
