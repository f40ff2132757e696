"""The rounds in which a step is played: a condition on the round number, with the same result on every worker."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from antiphon.grammars.cadence import Cadence


@dataclass(frozen=True)
class When:
    """A condition on the round: all of its clauses must be true. A clause is true if one of its cadences is active.

    Without clauses, the condition is always true. A clause without cadences is never true.

    >>> odd, thirds = When.at(Cadence(2, 1)), When.at(Cadence(3))
    >>> [round for round in range(10) if (odd & thirds).active(round)]
    [3, 9]
    >>> [round for round in range(10) if (odd | thirds).active(round)]
    [0, 1, 3, 5, 6, 7, 9]
    """

    clauses: frozenset[frozenset[Cadence]] = frozenset()

    @classmethod
    def at(cls, cadence: Cadence) -> "When":
        """Return the condition that is true in exactly the rounds `start`, `start + every`, ... of `cadence`."""
        return ALWAYS if cadence == Cadence() else cls(frozenset({frozenset({cadence})}))

    def active(self, round: int) -> bool:
        """Whether the condition is true in round `round`."""
        return all(any(cadence.active(round) for cadence in clause) for clause in self.clauses)

    def __and__(self, other: "When") -> "When":
        return _simplified(self.clauses | other.clauses)

    def __or__(self, other: "When") -> "When":
        return _simplified(frozenset(one | two for one in self.clauses for two in other.clauses))

    def __repr__(self) -> str:
        if not self.clauses:
            return "always"
        return " and ".join(sorted(" or ".join(sorted(map(_text, clause))) for clause in self.clauses))


def _simplified(clauses: frozenset[frozenset[Cadence]]) -> When:
    return When(frozenset(clause for clause in clauses if not any(other < clause for other in clauses)))


def _text(cadence: Cadence) -> str:
    every = "every round" if cadence.every == 1 else f"every {cadence.every} rounds"
    return every if cadence.start == 0 else f"{every} from {cadence.start}"


ALWAYS = When()
NEVER = When(frozenset({frozenset()}))

Item = TypeVar("Item")


@final
class Agenda(Generic[Item]):
    """Items with conditions on the round, in order. `at(round)` returns the items whose condition is true in that
    round.

    The result is cached for each combination of true conditions.

    >>> agenda = Agenda([(ALWAYS, "learn"), (When.at(Cadence(8)), "act")])
    >>> agenda.at(0), agenda.at(3)
    (('learn', 'act'), ('learn',))
    """

    def __init__(self, items: Iterable[tuple[When, Item]]) -> None:
        self._items = tuple(items)
        self._conditions = tuple(dict.fromkeys(when for when, _ in self._items if when != ALWAYS))
        self._due: dict[tuple[bool, ...], tuple[Item, ...]] = {}

    def at(self, round: int) -> tuple[Item, ...]:
        """Return the items whose condition is true in `round`, in order."""
        pattern = tuple([when.active(round) for when in self._conditions])
        due = self._due.get(pattern)
        if due is None:
            due = self._due[pattern] = tuple(item for when, item in self._items if when.active(round))
        return due
