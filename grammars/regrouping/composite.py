"""A torch module that computes several players and the operators between them in one forward call."""

from typing import final

from torch import Tensor, nn

from antiphon.grammars.brick import ENTRANCE, Brick
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import make_module, make_operator
from antiphon.grammars.query import Kind, Port


@final
class Composite(nn.Module):
    """A torch module that computes a brick: several players with the operators between them.

    `members` are the modules of the players, in the order in which the forward call first uses them.
    """

    def __init__(self, brick: Brick) -> None:
        super().__init__()
        self.brick = brick
        self.members = nn.ModuleList(map(_member, brick.players.values()))
        operations = {part.owner: part.operation for part in brick.parts if part.kind is Kind.OPERATOR}
        self._asked = dict(zip(brick.players, self.members, strict=True))
        self._asked |= {owner: make_operator(operation) for owner, operation in operations.items()}
        # Registered as submodules, so that `train` and `eval` reach them (dropout).
        asked = (self._asked[owner] for owner in operations)
        self.operators = nn.ModuleList(each for each in asked if isinstance(each, nn.Module))

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the outputs of the brick. inputs: one tensor per input of the brick.

        Returns a tensor, or a tuple of tensors if the brick has several outputs.
        """
        values = {Port(ENTRANCE, index): value for index, value in enumerate(inputs)}
        for part in self.brick.parts:
            played = self._asked[part.owner](*(values[port] for port in part.inputs))
            outputs = (played,) if isinstance(played, Tensor) else played
            values |= {Port(part.name, index): value for index, value in enumerate(outputs)}
        played = tuple(values[port] for port in self.brick.outputs)
        return played[0] if len(played) == 1 else played


def _member(factory: Factory | Brick) -> nn.Module:
    return Composite(factory) if isinstance(factory, Brick) else make_module(factory)
