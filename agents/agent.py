"""What moves a player: an agent hears responses and answers with new parameters."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from antiphon.grammars.oracle import State


@runtime_checkable
class Agent(Protocol):
    """Built as `Agent(parameters: Sequence[Tensor], **arguments)`; sees nothing but its responses.

    The parameters are lent by whoever builds the agent: it may step on them in place and return them from `move`, or
    return other tensors. What it draws at random comes from a generator of its own.
    """

    def hear(self, response: Sequence[Tensor]) -> None:
        """Take one tensor per parameter, of its shape, dtype and strides: a gradient or an estimate, to be minimised.

        Several responses before a move add up. They are read only, and may be kept without a copy until the move.
        """
        ...

    def move(self) -> Sequence[Tensor]:
        """The new parameters: number, order, shapes and dtypes as they were lent. At least one `hear` came before."""
        ...

    def state(self) -> State:
        """Everything, apart from the parameters, that the next moves depend on; in memory of its own."""
        ...

    def load(self, state: State) -> None:
        """Continue from `state`, on an agent built with the parameters as they were when that state was taken."""
        ...
