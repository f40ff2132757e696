"""Gradient and curvature of an objective at one point: they show whether the point is a local optimum (essay,
Definition 4).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import torch
from torch import Tensor

from antiphon.grammars.objective import Direction, sign_of
from antiphon.grammars.typed import typed

EXACTLY_UP_TO = 256
"""Up to this number of parameters the whole Hessian is formed, with one product per parameter."""
STEPS = 80
"""Number of steps of Lanczos' method, which is used above `EXACTLY_UP_TO` parameters."""

Product: TypeAlias = Callable[[Tensor], Tensor]


class Verdict(StrEnum):
    """What the second-order conditions say about a point of an objective that is minimised or maximised.

    "Worse" is an increase if the objective is minimised, and a decrease if it is maximised.
    STRICT: the point is stationary, and the objective gets worse in every direction: a certain local optimum.
    UNDECIDED: stationary, but the curvature in some direction is zero within the resolution: only the necessary
    conditions hold. SADDLE: stationary, and the objective gets better in some direction. MOVING: the gradient is above
    the tolerance.
    """

    STRICT = "strict"
    UNDECIDED = "undecided"
    SADDLE = "saddle"
    MOVING = "moving"


@dataclass(frozen=True)
class Certificate:
    """Gradient and curvature of an objective at one point.

    The Hessian is that of the function to minimise: the objective, or minus the objective if it is maximised.

    gradient_norm: the Euclidean norm of the gradient. curvature: the smallest eigenvalue of the Hessian. products:
    number of Hessian-vector products that were computed.
    resolution: a curvature below this number counts as zero. It is the largest absolute eigenvalue times the square
    root of the dtype's epsilon. Lanczos' method adds the residual of the smallest eigenvalue.
    exact: whether the whole Hessian was formed. Otherwise `curvature` is a Ritz value, which is never below the
    smallest eigenvalue. So the verdict SADDLE is certain, and STRICT is as reliable as Lanczos' method from a random
    start.
    """

    gradient_norm: float
    tolerance: float
    curvature: float
    resolution: float
    products: int
    exact: bool

    @property
    def verdict(self) -> Verdict:
        """The verdict (strict, undecided, saddle or moving) that follows from the gradient and the curvature of this
        certificate.
        """
        if not self.gradient_norm <= self.tolerance:
            return Verdict.MOVING
        if abs(self.curvature) <= self.resolution:
            return Verdict.UNDECIDED
        return Verdict.STRICT if self.curvature > 0 else Verdict.SADDLE

    def __repr__(self) -> str:
        how = "exact" if self.exact else f"{self.products} steps of Lanczos"
        return (
            f"{self.verdict}: gradient {self.gradient_norm:.3g} (tolerance {self.tolerance:.3g}), "
            f"smallest curvature {self.curvature:.3g} ({how}, resolution {self.resolution:.3g})"
        )


@typed
def certify(
    objective: Callable[[Tensor], Tensor],
    theta: Tensor,
    direction: Direction = Direction.MINIMISE,
    *,
    tolerance: float = 1e-6,
    exactly_up_to: int = EXACTLY_UP_TO,
) -> Certificate:
    """Compute the gradient and the smallest curvature of a twice differentiable function at the point theta, (d,).

    objective: (d,) -> 0-d, in torch operations. Up to `exactly_up_to` parameters the whole Hessian is formed. Above
    that, Lanczos' method with full reorthogonalisation runs from one fixed random start.

    >>> certify(lambda theta: theta[0] ** 2 - theta[1] ** 2, torch.zeros(2, dtype=torch.float64)).verdict
    <Verdict.SADDLE: 'saddle'>
    """
    gradient, product = _derivatives(objective, theta, sign_of(direction))
    size = len(theta)
    exact = size <= exactly_up_to
    eigenvalues, residual, products = _whole(product, theta) if exact else _lanczos(product, theta, min(STEPS, size))
    radius = float(eigenvalues.abs().max())
    resolution = radius * torch.finfo(theta.dtype).eps ** 0.5 + residual
    return Certificate(float(gradient.norm()), tolerance, float(eigenvalues.min()), resolution, products, exact)


def _derivatives(objective: Callable[[Tensor], Tensor], theta: Tensor, sign: float) -> tuple[Tensor, Product]:
    """Return the gradient at theta, and a function that multiplies the Hessian with a vector (by automatic
    differentiation).

    sign: a factor of the objective, -1 if it is maximised.
    """
    point = theta.detach().requires_grad_()
    with torch.enable_grad():
        value = sign * objective(point)
        (gradient,) = torch.autograd.grad(value, point, create_graph=True, allow_unused=True, materialize_grads=True)

    def product(vector: Tensor) -> Tensor:
        if not gradient.requires_grad:  # a linear objective has a zero Hessian
            return torch.zeros_like(vector)
        (found,) = torch.autograd.grad(
            gradient, point, vector, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return found

    return gradient.detach(), product


def _whole(product: Product, theta: Tensor) -> tuple[Tensor, float, int]:
    """Form the whole Hessian. Return its eigenvalues, a residual of zero, and the number of Hessian-vector products.

    The number of products is the number of parameters.
    """
    hessian = torch.stack([product(axis) for axis in torch.eye(len(theta), dtype=theta.dtype)])
    return torch.linalg.eigvalsh((hessian + hessian.T) / 2), 0.0, len(theta)


def _lanczos(product: Product, theta: Tensor, steps: int) -> tuple[Tensor, float, int]:
    """Run Lanczos' method. Return the Ritz values (estimated eigenvalues), the residual bound of the smallest Ritz
    value, and the number of steps.

    Source of the bound: Parlett 1998, section 13.2.
    """
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(1, len(theta), generator=generator, dtype=theta.dtype)
    basis = basis / basis.norm()
    diagonal, beside = [], []
    for _ in range(steps):
        vector = product(basis[-1])
        diagonal.append(vector @ basis[-1])
        for _ in range(2):  # a second pass suffices for orthogonality
            vector = vector - (basis @ vector) @ basis
        beside.append(vector.norm())
        if beside[-1] <= torch.finfo(theta.dtype).eps * max(map(abs, [*diagonal, *beside])):
            break  # the Krylov space is invariant
        basis = torch.cat([basis, (vector / beside[-1])[None]])
    off = torch.stack(beside[:-1]) if len(beside) > 1 else theta.new_zeros(0)
    ritz, vectors = torch.linalg.eigh(torch.diag(torch.stack(diagonal)) + torch.diag(off, 1) + torch.diag(off, -1))
    return ritz, float(beside[-1] * vectors[-1, 0].abs()), len(diagonal)
