"""The objective of a grammar: losses, a direction, and the players that minimise them (essay, Definitions 2 and 5)."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from antiphon.errors import GrammarError
from antiphon.grammars.draft import Value
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.typed import typed
from antiphon.grammars.walks import reached


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
class Term:
    """One term of an objective: the sum of some losses, minimised or maximised. Each loss is a mean over its batch.

    held: values of the Query graph that are constants for this term: its gradient does not pass through them
    (stop-gradient). players: the names of the players that minimise (or maximise) this term; empty for all players.
    """

    losses: tuple[Port, ...]
    direction: Direction = Direction.MINIMISE
    held: tuple[Port, ...] = ()
    players: tuple[str, ...] = ()

    @property
    def sign(self) -> float:
        """+1 to minimise, -1 to maximise. Gradients of losses are multiplied by it, so that players always minimise."""
        return sign_of(self.direction)

    def is_of(self, player: str) -> bool:
        """Whether the player with this name minimises (or maximises) the term."""
        return not self.players or player in self.players

    def regrouped(self, names: Callable[[str], Iterable[str]], ports: Callable[[Port], Port]) -> "Term":
        """Return the same term for the players and values of a regrouped grammar, as `Objective.regrouped`."""
        players = dict.fromkeys(each for player in self.players for each in names(player))
        return replace(self, held=tuple(map(ports, self.held)), players=tuple(players))

    def __repr__(self) -> str:
        fixed = f", holding {', '.join(map(repr, self.held))}" if self.held else ""
        own = f", for {', '.join(self.players)}" if self.players else ""
        return f"{self.direction} {' + '.join(map(repr, self.losses))}{fixed}{own}"


@dataclass(frozen=True)
class Objective:
    """What the players minimise or maximise: a sum of terms. Add two objectives with `+`.

    If terms belong to different players, each player has an objective of its own (the game of Definition 5).
    """

    terms: tuple[Term, ...]

    @property
    def losses(self) -> tuple[Port, ...]:
        """The losses of all terms, each once."""
        return tuple(dict.fromkeys(port for term in self.terms for port in term.losses))

    @property
    def held(self) -> frozenset[Port]:
        """The values that at least one term holds fixed."""
        return frozenset(port for term in self.terms for port in term.held)

    @property
    def common(self) -> "Objective":
        """The same losses for all players, with nothing held fixed: the objective of plain backpropagation.

        A loss that some players minimise and others maximise has the direction of its first term.
        """
        directions: dict[Port, Direction] = {}
        for term in self.terms:
            directions = dict.fromkeys(term.losses, term.direction) | directions
        losses = {each: tuple(port for port in self.losses if directions[port] is each) for each in Direction}
        return Objective(tuple(Term(ports, each) for each, ports in losses.items() if ports))

    def of(self, player: str) -> "Objective":
        """Return the player's own objective: the terms that the player with this name minimises or maximises."""
        terms = tuple(term for term in self.terms if term.is_of(player))
        return self if len(terms) == len(self.terms) else Objective(terms)

    def regrouped(self, names: Callable[[str], Iterable[str]], ports: Callable[[Port], Port]) -> "Objective":
        """Return the same objective for the players and values of a regrouped grammar.

        names: a function from a player to the players that replace it. ports: a function from a value to the value that
        replaces it.
        """
        return Objective(tuple(term.regrouped(names, ports) for term in self.terms))

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: "Objective") -> "Objective":
        return Objective(self.terms + other.terms)

    def __repr__(self) -> str:
        return "; ".join(map(repr, self.terms))


def refuse_strangers(objective: Objective, query: QueryGraph, who: str) -> None:
    """Raise GrammarError if a term names no player of the Query graph, or holds a value that is not above its losses.

    who: says in the error what has this objective.
    """
    for term in objective.terms:
        if strange := [player for player in term.players if player not in query.player_by_name]:
            raise GrammarError(
                f"the objective of {who} is to {term.direction} for {strange[0]!r}, which is none of its players; "
                f"expected one of {sorted(query.player_by_name)}. Name one of these."
            )
        above = _above(term, query) if term.held else frozenset[str]()
        for port in term.held:
            outputs = query.by_name[port.node].outputs if port.node in above else ()
            if not 0 <= port.index < len(outputs):
                raise GrammarError(
                    f"the objective of {who} holds {port!r} fixed, which no node above its losses {term.losses!r} "
                    f"computes; expected a value of one of {sorted(above)}. Hold one of these, or leave it out."
                )


def _above(term: Term, query: QueryGraph) -> frozenset[str]:
    """Return the names of the nodes on which the losses of a term depend."""
    losses = (port.node for port in term.losses if port.node in query.by_name)
    return reached(losses, lambda name: [port.node for port in query.by_name[name].inputs])


@typed
def minimise(*losses: Value, held: Sequence[Value] = (), players: Sequence[str] = ()) -> Objective:
    """Return the objective that minimises the sum of all given losses.

    held: values that are held fixed: no gradient passes through them. players: the names of the players that minimise
    these losses; without names, all players.
    """
    return _objective(Direction.MINIMISE, losses, held, players)


@typed
def maximise(*losses: Value, held: Sequence[Value] = (), players: Sequence[str] = ()) -> Objective:
    """Return the objective that maximises the sum of all given losses. held, players: as for `minimise`."""
    return _objective(Direction.MAXIMISE, losses, held, players)


def _objective(
    direction: Direction, losses: Sequence[Value], held: Sequence[Value], players: Sequence[str]
) -> Objective:
    ports, fixed = (tuple(value.port for value in values) for values in (losses, held))
    return Objective((Term(ports, direction, fixed, tuple(players)),))
