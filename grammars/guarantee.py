"""What a grammar promises about its responses, as data (essay, section 2, "Summary of guarantees").

This module measures nothing; `antiphon check` measures the promises.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeAlias, final

from torch import Tensor

from antiphon.errors import GrammarError
from antiphon.grammars.draft import Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Range
from antiphon.grammars.query import Port
from antiphon.grammars.typed import typed


class Category(StrEnum):
    """The essay's four categories."""

    EXACT = "exact"
    SURROGATE = "surrogate"
    LEARNED = "learned"
    ESTIMATED = "estimated"


@typed
@final
@dataclass(frozen=True)
class PlayerLoss:
    """The loss that a player minimises (essay, Definition 5): a scalar function of values of Q. Q need not compute it.

    operation: takes the values at `inputs`, in their order; returns a 0-d tensor that torch can differentiate. Values
    that it detaches are held fixed. A player without a PlayerLoss minimises the grammar's objective (or minus the
    objective, if that is maximised).
    """

    operation: Factory
    inputs: tuple[Port, ...]

    @classmethod
    @typed
    def of(cls, operation: Callable[..., Any] | Factory, *values: Value | Port, **keywords: Any) -> "PlayerLoss":
        """Make the loss `operation(*values, **keywords)`, 0-d, of values of a draft.

        Any: an operation may return anything, and its further arguments, `keywords`, may have any type.
        """
        ports = tuple(value.port if isinstance(value, Value) else value for value in values)
        return cls(Factory.of(operation, **keywords), ports)

    def __repr__(self) -> str:
        return f"{self.operation} ({', '.join(map(repr, self.inputs))})"


def unknown() -> Tensor:
    """Stand for a loss that is not known. Raises GrammarError."""
    raise GrammarError(
        "a player's loss was asked for that is not known for these modules; expected an instance whose promise names "
        "it. Give the promise a `loss` on an instance where the truth is known in closed form."
    )


UNKNOWN = PlayerLoss(Factory(unknown), ())
"""Stands for a loss that is not known for modules in general, for example the value of a policy. A promise about it can
still be measured, on instances that name a known loss in its place."""


@typed
@final
@dataclass(frozen=True)
class Exact:
    """Each response is the gradient of the player's loss, up to rounding.

    players: names of the players with this promise; empty for all players. loss: None for the grammar's objective.
    sense: the promise in words, for reports. These fields mean the same in all promises.
    tolerance: bound on the largest difference, relative to the largest number of the gradient.
    """

    category: ClassVar[Category | None] = Category.EXACT

    players: tuple[str, ...] = ()
    loss: PlayerLoss | None = None
    sense: str = "the response is the gradient of the player's loss"
    tolerance: float = 1e-10


@typed
@final
@dataclass(frozen=True)
class SignCorrect:
    """No message about a unit's output has the sign opposite to the gradient of the player's loss, for any example.

    The check looks at each number of the message that enters the player's product, before the sum over the batch. The
    sum has no such promise.
    premise: the condition on the parameters, in words. An instance must satisfy it at the start. holds: a function of
    (modules by player's name, values by port of Q) that returns whether the premise holds. If it is given, the promise
    is measured at other parameters too, where they satisfy the premise.
    """

    category: ClassVar[Category | None] = Category.ESTIMATED

    players: tuple[str, ...] = ()
    premise: str = ""
    loss: PlayerLoss | None = None
    holds: Factory | None = None
    sense: str = "per example and unit, never of the opposite sign"


@typed
@final
@dataclass(frozen=True)
class Descent:
    """The angle between each response and the gradient of the player's loss stays below `degrees`.

    Below 90 degrees, a small step against the response decreases the loss. premise, holds: see `SignCorrect`.
    """

    category: ClassVar[Category | None] = Category.ESTIMATED

    players: tuple[str, ...] = ()
    loss: PlayerLoss | None = None
    degrees: float = 90.0
    premise: str = ""
    holds: Factory | None = None
    sense: str = "the angle between response and gradient"


@typed
@final
@dataclass(frozen=True)
class Estimated:
    """On average over the draws of oracles, the response is the gradient of the player's loss, up to a bias.

    bias: bound on |mean response - mean gradient| / |mean gradient|, beyond the uncertainty of `draws` draws. The
    variance is measured as well. premise, holds: see `SignCorrect`.
    """

    category: ClassVar[Category | None] = Category.ESTIMATED

    players: tuple[str, ...] = ()
    loss: PlayerLoss | None = None
    bias: float = 0.0
    draws: Annotated[int, Range(2)] = 400
    premise: str = ""
    holds: Factory | None = None
    sense: str = "the mean response is the gradient, up to a bias"


@typed
@final
@dataclass(frozen=True)
class Surrogate:
    """On average over the draws of oracles, the objective is never below the quantity of interest.

    truth: a function of (modules by player's name, values by port of Q) that returns that quantity for the same data,
    0-d and to be minimised. None: it is not known for these modules, and nothing can be measured.
    """

    category: ClassVar[Category | None] = Category.SURROGATE

    players: tuple[str, ...] = ()
    truth: Factory | None = None
    draws: Count = 200
    sense: str = "the objective bounds what is meant from above"


@typed
@final
@dataclass(frozen=True)
class Learned:
    """If only these players learn, they reach the optimum that theory predicts.

    distance: a function of (modules by player's name, values by port of Q) that returns the distance from the known
    optimum, 0-d, in any unit. None: no optimum is known for these modules. tolerance: in the unit of `distance`.
    """

    category: ClassVar[Category | None] = Category.LEARNED

    players: tuple[str, ...] = ()
    distance: Factory | None = None
    tolerance: float = 0.01
    sense: str = "the distance of what is learned from the known optimum"


@typed
@final
@dataclass(frozen=True)
class Insulated:
    """R sends the players neither a derivative nor a plain value of `sources`. The check reads R only.

    sources: names of owners in Q (players, oracles, losses, operators). taps: if true, values of the sources may reach
    the players through a tap; derivatives may not.
    """

    category: ClassVar[Category | None] = None

    players: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    taps: bool = False
    sense: str = "nothing is told by"


@typed
@final
@dataclass(frozen=True)
class Arrives:
    """With small steps the players come to rest at a local optimum, each given the others (essay, Definition 8).

    tolerance: bound on two ratios for each player. The first is the norm of the gradient of its loss at the end,
    divided by the norm at the start. The second is the decrease of its loss that it could still reach alone, divided
    by the decrease since the start. draws: number of rounds over which a gradient is averaged.
    """

    category: ClassVar[Category | None] = None

    players: tuple[str, ...] = ()
    tolerance: float = 0.01
    draws: Count = 1
    sense: str = "with small steps, the players come to rest"


Promise: TypeAlias = Exact | SignCorrect | Descent | Estimated | Surrogate | Learned | Insulated | Arrives


@typed
@final
@dataclass(frozen=True)
class Guarantee:
    """All promises of one grammar. They may be of several categories: those of DAC are learned, estimated and exact."""

    promises: tuple[Promise, ...] = field(default_factory=tuple)

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories, each once, in the order of the promises."""
        found = (promise.category for promise in self.promises)
        return tuple(dict.fromkeys(category for category in found if category is not None))

    def __add__(self, other: "Guarantee") -> "Guarantee":
        return Guarantee(self.promises + other.promises)

    def loss_of(self, player: str) -> PlayerLoss | None:
        """Return the loss that the promises name for a player.

        That of a promise to all players is used only if no promise to this player by name has one. None stands for the
        objective.
        """
        named = [promise for promise in self.promises if player in promise.players]
        told = named + [promise for promise in self.promises if not promise.players]
        losses = (getattr(promise, "loss", None) for promise in told)
        return next((loss for loss in losses if loss is not None), None)

    def says_nothing_of(self, player: str) -> bool:
        """Whether no promise is about the player's response.

        A `Surrogate` is about the objective, an `Insulated` about what does not reach the player, so neither counts.
        """
        told = [each for each in self.promises if not isinstance(each, Surrogate | Insulated)]
        return not any(player in each.players or not each.players for each in told)

    def regrouped(
        self, names: Callable[[str], Iterable[str]], ports: Callable[[Port], Port | None] = lambda port: port
    ) -> "Guarantee":
        """Return the same promises for other players and values, after a regrouping.

        names: from a player to the players in its place. ports: from a value to the value in its place, or to None if
        that is no longer played; a promise whose loss needs such a value is dropped.
        """
        found = (_regrouped(promise, names, ports) for promise in self.promises)
        return Guarantee(tuple(promise for promise in found if promise is not None))

    def __repr__(self) -> str:
        return " + ".join(self.categories) or "none"


@typed
def exact(*players: str) -> Guarantee:
    """The guarantee that these players (all, if none is named) receive the gradient of the objective (Grammar 1)."""
    return Guarantee((Exact(players),))


@typed
def promised(*promises: Promise) -> Guarantee:
    """Return a guarantee that consists of these promises."""
    return Guarantee(promises)


def _regrouped(
    promise: Promise, names: Callable[[str], Iterable[str]], ports: Callable[[Port], Port | None]
) -> Promise | None:
    changes: dict[str, Any] = {"players": _renamed(promise.players, names)}  # Any: the fields of a promise
    if isinstance(promise, Insulated):
        changes["sources"] = _renamed(promise.sources, names)
    loss: PlayerLoss | None = getattr(promise, "loss", None)
    if loss is not None and loss != UNKNOWN:
        places = tuple(ports(port) for port in loss.inputs)
        if None in places:
            return None
        changes["loss"] = replace(loss, inputs=places)
    return replace(promise, **changes)


def _renamed(owners: Iterable[str], names: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for owner in owners for each in names(owner)))
