"""A penalty on a player's parameters: one more output of its operator, so that R reaches it by the chain rule."""

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor, nn

from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import make_operator
from antiphon.grammars.typed import typed


@final
class Penalised(nn.Module):
    """A player's operator with one more output, after those of `module`: a penalty on its parameters, 0-d.

    module: makes the operator. penalty: a function of the module, with any further arguments, that returns a scalar,
    for example a regularizer Omega(theta) or a log-prior. Only the player has the parameters, so the player has to
    compute it. In Q this is a node with one more output, in R a product with one more cotangent.
    """

    def __init__(self, module: Factory, penalty: Factory) -> None:
        super().__init__()
        self.module: nn.Module = module()
        self.penalty = make_operator(penalty)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the module on these inputs, then the penalty."""
        played: Any = self.module(*inputs)  # Any: a tensor or a tuple of them
        outputs: Sequence[Tensor] = (played,) if isinstance(played, Tensor) else played
        return (*outputs, self.penalty(self.module))


@typed
def squared_norm(module: nn.Module, weight: float = 1.0, biases: bool = True) -> Tensor:
    """`weight` times the sum of the squares of all parameters (ridge). biases=False leaves out parameters below 2-d."""
    squares = [each.square().sum() for each in module.parameters() if biases or each.dim() > 1]
    return weight * sum(squares[1:], squares[0])


def itself(value: Tensor) -> Tensor:
    """Return the value.

    Use this function as the loss function if a player already computes the scalar loss, for example a penalty.
    """
    return value
