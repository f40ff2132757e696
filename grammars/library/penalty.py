"""A penalty on a player's parameters: one more output of the player's operator, so that the chain rule reaches it."""

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor, nn

from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import make_operator
from antiphon.grammars.typed import typed


@final
class Penalised(nn.Module):
    """A player's operator that returns the outputs of `module` and, as last output, a penalty on the module's
    parameters, 0-d.

    module: makes the operator. penalty: a function of the module, with any further arguments, that returns a scalar,
    for example a regularizer Omega(theta) or a log-prior. Only the player has the parameters, so the player has to
    compute the penalty.
    """

    def __init__(self, module: Factory, penalty: Factory) -> None:
        super().__init__()
        self.module: nn.Module = module()
        self.penalty = make_operator(penalty)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the module for `inputs`, and then the penalty on the module's parameters, 0-d."""
        played: Any = self.module(*inputs)  # Any: a tensor or a tuple of them
        outputs: Sequence[Tensor] = (played,) if isinstance(played, Tensor) else played
        return (*outputs, self.penalty(self.module))


@typed
def squared_norm(module: nn.Module, weight: float = 1.0, biases: bool = True) -> Tensor:
    """Return `weight` times the sum of the squares of all parameters (ridge).

    If `biases` is false, parameters with fewer than two dimensions are left out.
    """
    squares = [each.square().sum() for each in module.parameters() if biases or each.dim() > 1]
    return weight * sum(squares[1:], squares[0])


def itself(value: Tensor) -> Tensor:
    """Return the value unchanged.

    Use this function as the loss function if a player already computes the scalar loss, for example a penalty.
    """
    return value
