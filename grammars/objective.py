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
    """Return +1 to minimise, -1 to maximise. An objective times this sign is a quantity to minimise.

    A representation is at a local minimum of a minimised objective, and at a local maximum of a maximised one.
    In Definition 4 of the essay the two words are exchanged.
    """
    return 1.0 if direction is Direction.MINIMISE else -1.0


@dataclass(frozen=True)
class Objective:
    """The sum of some losses, and whether the sum is minimised or maximised. Each loss is a mean over its batch."""

    losses: tuple[Port, ...]
    direction: Direction = Direction.MINIMISE

    @property
    def sign(self) -> float:
        """+1 to minimise, -1 to maximise. Gradients of losses are multiplied by it, so that players always minimise."""
        return sign_of(self.direction)

    def __repr__(self) -> str:
        return f"{self.direction} {' + '.join(map(repr, self.losses))}"


@typed
def minimise(*losses: Value) -> Objective:
    """Return the objective that minimises the sum of all given losses."""
    return Objective(tuple(loss.port for loss in losses), Direction.MINIMISE)


@typed
def maximise(*losses: Value) -> Objective:
    """Return the objective that maximises the sum of all given losses."""
    return Objective(tuple(loss.port for loss in losses), Direction.MAXIMISE)
