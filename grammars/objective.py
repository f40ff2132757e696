"""The objective of a grammar: losses and a direction, both explicit (essay, Definition 2)."""

from dataclasses import dataclass
from enum import StrEnum

from antiphon.grammars.draft import Value
from antiphon.grammars.query import Port
from antiphon.grammars.typed import typed


class Direction(StrEnum):
    """Whether the objective is minimised or maximised."""

    MINIMISE = "minimise"
    MAXIMISE = "maximise"


def sign_of(direction: Direction) -> float:
    """+1 to minimise, -1 to maximise. An objective times this sign is to be minimised.

    A representation is at a local minimum of a minimised objective, and at a local maximum of a maximised one.
    Definition 4 of the essay has these two exchanged.
    """
    return 1.0 if direction is Direction.MINIMISE else -1.0


@dataclass(frozen=True)
class Objective:
    """The sum of some losses, and the direction of optimization. Each loss is a mean over its batch."""

    losses: tuple[Port, ...]
    direction: Direction = Direction.MINIMISE

    @property
    def sign(self) -> float:
        """+1 or -1: the weight of every loss in R. So players always receive the gradient of a quantity to minimise."""
        return sign_of(self.direction)

    def __repr__(self) -> str:
        return f"{self.direction} {' + '.join(map(repr, self.losses))}"


@typed
def minimise(*losses: Value) -> Objective:
    """The objective that minimises the sum of these losses."""
    return Objective(tuple(loss.port for loss in losses), Direction.MINIMISE)


@typed
def maximise(*losses: Value) -> Objective:
    """The objective that maximises the sum of these losses."""
    return Objective(tuple(loss.port for loss in losses), Direction.MAXIMISE)
