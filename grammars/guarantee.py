"""What a grammar promises about its responses (the gradients that players receive), as data (essay, section 2, "Summary
of guarantees").

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
from antiphon.grammars.objective import Objective
from antiphon.grammars.query import Port
from antiphon.grammars.typed import typed


class Category(StrEnum):
    """The essay's four categories of promises about responses."""

    EXACT = "exact"
    SURROGATE = "surrogate"
    LEARNED = "learned"
    ESTIMATED = "estimated"


@typed
@final
@dataclass(frozen=True)
class PlayerLoss:
    """The loss that one player minimises (essay, Definition 5): a scalar function of values of the Query graph.

    operation: takes the values at `inputs`, in their order; returns a 0-d tensor that torch can differentiate. Values
    that it detaches are held fixed. The Query graph need not compute the loss. If it does, give the promise an
    `Objective` instead (`minimise(loss)`). A player whose promise has no loss minimises its terms of the grammar's
    objective. players: names of players whose modules `operation` takes before the values, to compute their outputs in
    another way.
    """

    operation: Factory
    inputs: tuple[Port, ...]
    players: tuple[str, ...] = ()

    @classmethod
    @typed
    def of(
        cls,
        operation: Callable[..., Any] | Factory,
        *values: Value | Port,
        players: tuple[str, ...] = (),
        **keywords: Any,
    ) -> "PlayerLoss":
        """Make the loss `operation(*modules of players, *values, **keywords)`, 0-d.

        values: of a draft of a Query graph.
        """
        ports = tuple(value.port if isinstance(value, Value) else value for value in values)
        return cls(Factory.of(operation, **keywords), ports, players)

    def __repr__(self) -> str:
        return f"{self.operation} ({', '.join((*self.players, *map(repr, self.inputs)))})"


Loss: TypeAlias = PlayerLoss | Objective
"""What one player minimises: a function of values, or an objective made of losses of the Query graph."""


def unknown() -> Tensor:
    """A placeholder for a loss that is not known. Raises GrammarError when it is called."""
    raise GrammarError(
        "a player's loss was asked for that is not known for these modules; expected an instance whose promise names "
        "it. Give the promise a `loss` on an instance where the truth is known in closed form."
    )


UNKNOWN = PlayerLoss(Factory(unknown), ())
"""Stands for a loss that is not known for modules in general, for example the value of a policy. A promise about it can
still be measured for modules whose promise names a known loss instead."""


@typed
@final
@dataclass(frozen=True)
class Exact:
    """The promise that each response is the gradient of the player's loss, up to rounding.

    players: names of the players with this promise; empty for all players. loss: what each of these players minimises;
    None for the player's own terms of the grammar's objective.
    sense: the promise in words, for reports.
    tolerance: bound on the largest difference between response and gradient, relative to the largest number of the
    gradient.
    """

    category: ClassVar[Category | None] = Category.EXACT

    players: tuple[str, ...] = ()
    loss: Loss | None = None
    sense: str = "the response is the gradient of the player's loss"
    tolerance: float = 1e-10


@typed
@final
@dataclass(frozen=True)
class SignCorrect:
    """The promise that messages about a unit's output never have the sign opposite to the true gradient, for any
    example.

    The true gradient is that of the player's loss. The check compares each number of the message before the sum over
    the batch; the summed response has no such promise.
    premise: the condition on the parameters, in words. The initial parameters must satisfy it. holds: a function of
    (modules by player's name, values by port of the Query graph) that returns whether the premise holds. If `holds` is
    given, the promise is also measured at other parameters that satisfy the premise.
    """

    category: ClassVar[Category | None] = Category.ESTIMATED

    players: tuple[str, ...] = ()
    premise: str = ""
    loss: Loss | None = None
    holds: Factory | None = None
    sense: str = "per example and unit, never of the opposite sign"


@typed
@final
@dataclass(frozen=True)
class Descent:
    """The promise that the angle between each response and the gradient of the player's loss stays below `degrees`.

    Below 90 degrees, a small step against the response decreases the loss. premise: the condition on the parameters, in
    words. holds: a function of (modules by player's name, values by port of the Query graph) that returns whether the
    premise holds.
    """

    category: ClassVar[Category | None] = Category.ESTIMATED

    players: tuple[str, ...] = ()
    loss: Loss | None = None
    degrees: float = 90.0
    premise: str = ""
    holds: Factory | None = None
    sense: str = "the angle between response and gradient"


@typed
@final
@dataclass(frozen=True)
class Estimated:
    """The promise that, on average over the draws of oracles, the response is the gradient of the player's loss, up to
    a bias.

    bias: bound on |mean response - mean gradient| / |mean gradient|, beyond the uncertainty of `draws` draws. The
    variance is measured as well. premise: the condition on the parameters, in words. holds: a function of (modules by
    player's name, values by port of the Query graph) that returns whether the premise holds.
    """

    category: ClassVar[Category | None] = Category.ESTIMATED

    players: tuple[str, ...] = ()
    loss: Loss | None = None
    bias: float = 0.0
    draws: Annotated[int, Range(2)] = 400
    premise: str = ""
    holds: Factory | None = None
    sense: str = "the mean response is the gradient, up to a bias"


@typed
@final
@dataclass(frozen=True)
class Surrogate:
    """The promise that the objective is an upper bound: on average over the draws of oracles, it is not below another
    quantity.

    truth: a function of (modules by player's name, values by port of the Query graph) that returns that other quantity,
    computed on the same data, 0-d. A smaller quantity is better. None: the quantity is not known for these modules, and
    nothing can be measured.
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
    """The promise that these players, if no other player learns, reach the optimum that theory predicts.

    distance: a function of (modules by player's name, values by port of the Query graph) that returns the distance from
    the known optimum, 0-d, in any unit. None: no optimum is known for these modules. tolerance: bound on the distance.
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
    """The promise that the Response graph sends the players neither a derivative nor a plain value of `sources`.

    sources: names of owners of nodes (players, oracles, losses, operators). taps: if true, plain values of the sources
    may reach the players; derivatives may not. The check reads the Response graph only.
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
    """The promise that, with small steps, all players come to rest at a local optimum (essay, Definition 8).

    Each player is then at a local optimum of its own loss, given the other players.
    tolerance: bound on two ratios for each player. The first is the norm of the gradient of its loss at the end,
    divided by the norm at the start. The second is the decrease of its loss that it could still reach alone, divided
    by the decrease since the start. draws: number of rounds over which a gradient is averaged.
    """

    category: ClassVar[Category | None] = None

    players: tuple[str, ...] = ()
    tolerance: float = 0.01
    draws: Count = 1
    sense: str = "with small steps, the players come to rest"


@typed
@final
@dataclass(frozen=True)
class Aligns:
    """The promise that, after all players have learned for a while, each response points along the gradient.

    The angle between the response and the gradient of the player's loss is then below `degrees`. It may be any angle at
    the start.
    """

    category: ClassVar[Category | None] = Category.ESTIMATED

    players: tuple[str, ...] = ()
    loss: PlayerLoss | None = None
    degrees: float = 90.0
    sense: str = "after learning, the angle between response and gradient"


Promise: TypeAlias = Exact | SignCorrect | Descent | Estimated | Surrogate | Learned | Insulated | Arrives | Aligns


@typed
@final
@dataclass(frozen=True)
class Guarantee:
    """All promises of one grammar about its responses. The promises may belong to several categories."""

    promises: tuple[Promise, ...] = field(default_factory=tuple)

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories of the promises, each once, in the order of the promises."""
        found = (promise.category for promise in self.promises)
        return tuple(dict.fromkeys(category for category in found if category is not None))

    def __add__(self, other: "Guarantee") -> "Guarantee":
        return Guarantee(self.promises + other.promises)

    def loss_of(self, player: str) -> Loss | None:
        """Return the loss that a player minimises according to the promises; None if they name no loss.

        A promise that names this player takes precedence over a promise to all players.
        """
        named = [promise for promise in self.promises if player in promise.players]
        told = named + [promise for promise in self.promises if not promise.players]
        losses = (getattr(promise, "loss", None) for promise in told)
        return next((loss for loss in losses if loss is not None), None)

    def says_nothing_of(self, player: str) -> bool:
        """Whether no promise is about the response (the gradient) that this player receives.

        `Surrogate` promises do not count, because they are about the objective. `Insulated` promises do not count,
        because they are about what does not reach the player.
        """
        told = [each for each in self.promises if not isinstance(each, Surrogate | Insulated)]
        return not any(player in each.players or not each.players for each in told)

    def regrouped(
        self, names: Callable[[str], Iterable[str]], ports: Callable[[Port], Port | None] = lambda port: port
    ) -> "Guarantee":
        """Return the same promises for the players and values of a regrouped grammar, where players are split or
        merged.

        names: a function from a player to the players that replace it. ports: a function from a value to the value that
        replaces it, or to None if the value is no longer played. A promise whose loss needs such a missing value, or
        the module of a player that is replaced, is dropped.
        """
        found = (_regrouped(promise, names, ports) for promise in self.promises)
        return Guarantee(tuple(promise for promise in found if promise is not None))

    def __repr__(self) -> str:
        return " + ".join(self.categories) or "none"


@typed
def exact(*players: str) -> Guarantee:
    """Return the guarantee that players receive the exact gradient of the objective (essay, Grammar 1).

    players: names of the players; without a name, all players.
    """
    return Guarantee((Exact(players),))


@typed
def promised(*promises: Promise) -> Guarantee:
    """Return a guarantee that consists of all given promises."""
    return Guarantee(promises)


def _regrouped(
    promise: Promise, names: Callable[[str], Iterable[str]], ports: Callable[[Port], Port | None]
) -> Promise | None:
    changes: dict[str, Any] = {"players": _renamed(promise.players, names)}  # Any: the fields of a promise
    if isinstance(promise, Insulated):
        changes["sources"] = _renamed(promise.sources, names)
    loss: Loss | None = getattr(promise, "loss", None)
    if loss is not None and loss != UNKNOWN:
        places = {port: ports(port) for port in (loss.held if isinstance(loss, Objective) else loss.inputs)}
        players = () if isinstance(loss, Objective) else loss.players
        if None in places.values() or any(tuple(names(player)) != (player,) for player in players):
            return None
        if isinstance(loss, Objective):
            changes["loss"] = loss.regrouped(names, lambda port: places[port] or port)
        else:
            changes["loss"] = replace(loss, inputs=tuple(places[port] for port in loss.inputs))
    return replace(promise, **changes)


def _renamed(owners: Iterable[str], names: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for owner in owners for each in names(owner)))
