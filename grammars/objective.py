"""What a grammar optimizes: losses and a direction, both explicit (essay, Definition 2)."""

from dataclasses import dataclass
from enum import StrEnum

from antiphon.grammars.draft import Value
from antiphon.grammars.query import Port
from antiphon.grammars.typed import typed


class Direction(StrEnum):
    """Which way the objective is to go."""

    MINIMISE = "minimise"
    MAXIMISE = "maximise"


def sign_of(direction: Direction) -> float:
    """+1 to minimise and -1 to maximise: what an objective is multiplied by to become something to be minimised.

    A representation is at a local minimum of an objective that is minimised, and at a local maximum of one that is
    maximised; Definition 4 of the essay has these crossed.
    """
    return 1.0 if direction is Direction.MINIMISE else -1.0


@dataclass(frozen=True)
class Objective:
    """The sum of some losses, and the direction in which it is to go. Each loss is a mean over its batch."""

    losses: tuple[Port, ...]
    direction: Direction = Direction.MINIMISE

    @property
    def sign(self) -> float:
        """The seed of every loss: what players hear is always to be minimised."""
        return sign_of(self.direction)

    def __repr__(self) -> str:
        return f"{self.direction} {' + '.join(map(repr, self.losses))}"


@typed
def minimise(*losses: Value) -> Objective:
    """The sum of these losses is to go down."""
    return Objective(tuple(loss.port for loss in losses), Direction.MINIMISE)


@typed
def maximise(*losses: Value) -> Objective:
    """The sum of these losses is to go up."""
    return Objective(tuple(loss.port for loss in losses), Direction.MAXIMISE)
