"""What a grammar promises of its responses, as data (essay, section 2, "Summary of guarantees")."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Category(StrEnum):
    """The essay's four categories."""

    EXACT = "exact"
    SURROGATE = "surrogate"
    LEARNED = "learned"
    ESTIMATED = "estimated"


@dataclass(frozen=True)
class Promise:
    """One promise: of which kind, to which players, and in which sense.

    players: empty for all of them. sense: one line that says what equals, bounds, or converges to what.
    """

    category: Category
    sense: str
    players: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guarantee:
    """All promises of one grammar, which may be of several categories: DAC learns its objective and estimates."""

    promises: tuple[Promise, ...] = field(default_factory=tuple)

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories, each once, in the order in which they were promised."""
        return tuple(dict.fromkeys(promise.category for promise in self.promises))

    def regrouped(self, names: Callable[[str], Iterable[str]]) -> "Guarantee":
        """The same promises, to those whom `names` puts in a player's place."""
        promises = []
        for promise in self.promises:
            players = (each for player in promise.players for each in names(player))
            promises.append(replace(promise, players=tuple(dict.fromkeys(players))))
        return Guarantee(tuple(promises))

    def __repr__(self) -> str:
        return " + ".join(self.categories) or "none"


def exact(*players: str) -> Guarantee:
    """Every response is the gradient of the objective, by the chain rule (essay, Grammar 1)."""
    sense = "the response is the gradient of the composed objective"
    return Guarantee((Promise(Category.EXACT, sense, players),))
