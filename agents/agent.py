"""The protocol of an agent: it receives responses (gradients) and returns new parameters of its player."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from antiphon.grammars.oracle import State


@runtime_checkable
class Agent(Protocol):
    """The optimizer of one player, built as `Agent(parameters: Sequence[Tensor], **arguments)`.

    An agent sees only its player's parameters and responses (gradients). It may update the given parameters in place
    and return them from `move`, or return other tensors. It draws random numbers only from a generator of its own.
    An agent may also have a method `report()`, which returns numbers by name, such as its regret, for the metrics.
    """

    def hear(self, response: Sequence[Tensor]) -> None:
        """Receive a response: the gradient, or an estimate of it, of the quantity that the player minimises.

        response: one tensor per parameter, with its shape, dtype and strides. The agent must not write to the tensors,
        but may keep them without a copy until the move. Several responses before a move add up.
        """
        ...

    def move(self) -> Sequence[Tensor]:
        """Return the new parameters, with the number, order, shapes and dtypes of the parameters given at construction.

        At least one `hear` comes before each move.
        """
        ...

    def state(self) -> State:
        """Return all that the next moves depend on, except the parameters. The tensors are copies."""
        ...

    def load(self, state: State) -> None:
        """Continue from a state that the method `state` returned.

        The agent was built with the parameters as they were when `state` was saved.
        """
        ...
