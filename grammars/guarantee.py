"""What a grammar promises of its responses, as data that can be measured (essay, section 2, "Summary of guarantees").

`antiphon check` measures a promise; nothing here does.
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
    """What a player is to bring down (essay, Definition 5): a scalar function of values of Q, which Q need not compute.

    operation: takes the values at `inputs`, in their order, returns a 0-d tensor that torch can differentiate. What it
    detaches is held fixed. Without one, a player's loss is the grammar's objective, to be minimised.
    """

    operation: Factory
    inputs: tuple[Port, ...]

    @classmethod
    @typed
    def of(cls, operation: Callable[..., Any] | Factory, *values: Value | Port, **keywords: Any) -> "PlayerLoss":
        """From the values of a draft; keywords are further arguments of the operation. Any: as `Factory.of`."""
        ports = tuple(value.port if isinstance(value, Value) else value for value in values)
        return cls(Factory.of(operation, **keywords), ports)

    def __repr__(self) -> str:
        return f"{self.operation} ({', '.join(map(repr, self.inputs))})"


def unknown() -> Tensor:
    """Nobody can say. Raises GrammarError."""
    raise GrammarError(
        "a player's loss was asked for that is not known for these modules; expected an instance whose promise names "
        "it. Give the promise a `loss` on an instance where the truth is known in closed form."
    )


UNKNOWN = PlayerLoss(Factory(unknown), ())
"""The loss of a player whose truth nobody knows for modules in general: the value of a policy, say. It is promised
something about it all the same, which can be measured on instances that name a known loss in its place."""


@typed
@final
@dataclass(frozen=True)
class Exact:
    """Each response is the gradient of the player's loss, up to rounding.

    players: empty for all of them, here and below. tolerance: largest difference over the gradient's largest number.
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
    """What each example tells of each unit never has the sign opposite to the gradient of the player's loss.

    Measured on the message that arrives at the player's own product, number by number, before it is summed over the
    batch: sums carry no such promise. premise: in words, what the parameters must satisfy; instances have to, at the
    start. holds: a function of (modules by player's name, values by port of Q) that says whether the premise holds
    there. Where it is given, the promise is measured at other parameters too, where they satisfy the premise.
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
    """Each response is a direction against which the player's loss falls: its angle to the gradient stays below
    `degrees`. premise, holds: see `SignCorrect`."""

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

    bias: bound on |mean response - mean gradient| / |mean gradient|, beyond what `draws` draws leave uncertain; the
    variance is measured with it. premise, holds: see `SignCorrect`.
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
    """The objective, on average over the draws of oracles, is never below the quantity that is meant.

    truth: a function of (modules by player's name, values by port of Q) that returns that quantity for the same data,
    0-d and to be minimised; None where it is not known for these modules, and then nothing can be measured.
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
    """When these players alone have learned, they are where theory says that they should be.

    distance: a function of (modules by player's name, values by port of Q) that returns how far they are from the known
    optimum, 0-d, in a unit of its own; None where no optimum is known for these modules. tolerance: in that unit.
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
    """No derivative of what `sources` play, and no value of theirs as it is, reaches the players: read off R.

    sources: names of owners in Q (players, oracles, losses, operators). A tap of one is allowed where `taps` is true:
    its values may be told, its derivatives may not.
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

    tolerance: bound on each player's |gradient of its loss| at the end over that at the start, and on what the player
    could still gain alone over what play has gained it. draws: over how many rounds a gradient is averaged.
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
    """All promises of one grammar, which may be of several categories: DAC learns its objective and estimates."""

    promises: tuple[Promise, ...] = field(default_factory=tuple)

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories, each once, in the order in which they were promised."""
        found = (promise.category for promise in self.promises)
        return tuple(dict.fromkeys(category for category in found if category is not None))

    def __add__(self, other: "Guarantee") -> "Guarantee":
        return Guarantee(self.promises + other.promises)

    def loss_of(self, player: str) -> PlayerLoss | None:
        """A player's own loss, if a promise to it names one, or else one to all; None for the grammar's objective."""
        named = [promise for promise in self.promises if player in promise.players]
        told = named + [promise for promise in self.promises if not promise.players]
        losses = (getattr(promise, "loss", None) for promise in told)
        return next((loss for loss in losses if loss is not None), None)

    def says_nothing_of(self, player: str) -> bool:
        """Whether nothing is promised of what a player is told: a surrogate is a promise about the objective, and an
        insulation about who does not tell it."""
        told = [each for each in self.promises if not isinstance(each, Surrogate | Insulated)]
        return not any(player in each.players or not each.players for each in told)

    def regrouped(
        self, names: Callable[[str], Iterable[str]], ports: Callable[[Port], Port | None] = lambda port: port
    ) -> "Guarantee":
        """The same promises, to those whom `names` puts in a player's place, of values that `ports` puts in a value's.

        A promise whose loss is of a value that is no longer played (`ports` says None) is dropped.
        """
        found = (_regrouped(promise, names, ports) for promise in self.promises)
        return Guarantee(tuple(promise for promise in found if promise is not None))

    def __repr__(self) -> str:
        return " + ".join(self.categories) or "none"


@typed
def exact(*players: str) -> Guarantee:
    """Every response is the gradient of the objective, by the chain rule (essay, Grammar 1)."""
    return Guarantee((Exact(players),))


@typed
def promised(*promises: Promise) -> Guarantee:
    """A guarantee of these promises."""
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
