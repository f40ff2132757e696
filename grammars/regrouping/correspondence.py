"""Convert parameters between two grammars that divide the same parameters into different players."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from antiphon.errors import GrammarError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.typed import typed


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers from index `start` to index `stop` (excluded) of the parameter vector of `player`.

    >>> Span("Net", 0, 12)
    Net[0:12]
    """

    player: str
    start: int
    stop: int

    def __repr__(self) -> str:
        return f"{self.player}[{self.start}:{self.stop}]"


@typed
@dataclass(frozen=True)
class Regrouping:
    """A pair of grammars with the same parameters, divided into other players, and where each parameter is in both.

    origin: the old grammar. grammar: the new grammar.
    spans: by the name of each player (or clone) of `grammar`, the ranges of parameter vectors of `origin` that are
    concatenated to its parameter vector. The same ranges convert gradients.
    Raises GrammarError if a player of either grammar has more or fewer parameters than its ranges.
    """

    origin: Grammar
    grammar: Grammar
    spans: tuple[tuple[str, tuple[Span, ...]], ...]

    def __post_init__(self) -> None:
        for side, covered in ((self.grammar, dict(self.spans)), (self.origin, inverse(self.spans))):
            for name, size in sizes(side).items():
                found = sum(span.stop - span.start for span in covered.get(name, ()))
                if found != size:
                    raise GrammarError(
                        f"player {name!r} of grammar {side.name!r} has {size} parameters, of which a regrouping of "
                        f"{self.origin.name!r} covers {found}; expected each to be covered once. Correct the spans."
                    )

    @classmethod
    @typed
    def none(cls, grammar: Grammar) -> "Regrouping":
        """Return the regrouping from `grammar` to `grammar` itself: every player keeps its own parameters."""
        return cls(grammar, grammar, tuple((name, (Span(name, 0, size),)) for name, size in sizes(grammar).items()))

    @functools.cached_property
    def back(self) -> "Regrouping":
        """The inverse of this regrouping: it converts parameters of the new grammar to those of the old grammar."""
        return Regrouping(self.grammar, self.origin, tuple(inverse(self.spans).items()))

    @typed
    def then(self, further: "Regrouping") -> "Regrouping":
        """Return the composition of two regroupings: first this regrouping, then `further`.

        further: a regrouping whose old grammar is the new grammar of this regrouping.
        """
        own = dict(self.spans)
        spans = ((name, joined(cut(own[span.player], span) for span in each)) for name, each in further.spans)
        return Regrouping(self.origin, further.grammar, tuple(spans))

    @typed
    def carry(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert the vectors of the old players to vectors of the new players.

        vectors: the parameter vector or the gradient of each player or clone of the old grammar, by name.
        Returns the vector of each player or clone of the new grammar, by name. A player is left out if its vector needs
        a vector that is missing from `vectors`.
        """
        return {
            name: torch.cat([vectors[span.player][span.start : span.stop] for span in spans])
            for name, spans in self.spans
            if all(span.player in vectors for span in spans)
        }

    def __repr__(self) -> str:
        lines = (f"  {name} = {' '.join(map(repr, spans))}" for name, spans in self.spans)
        return "\n".join([f"{self.grammar.name}, regrouped from {self.origin.name}:", *lines])


def sizes(grammar: Grammar) -> dict[str, int]:
    """Return the number of parameters of each player and of each clone of a grammar, by name."""
    players = grammar.query.player_by_name
    everybody = {name: name for name in players} | {clone.name: clone.player for clone in grammar.query.clones}
    return {name: size_of(players[player].space.shape[0]) for name, player in everybody.items()}


def size_of(dimension: object) -> int:
    """Return the dimension as an int. Raises AssertionError for a symbolic dimension."""
    assert isinstance(dimension, int)  # a parameter vector has no symbolic size
    return dimension


def inverse(spans: Iterable[tuple[str, Sequence[Span]]]) -> dict[str, tuple[Span, ...]]:
    """Invert the map from parameters of new players to those of old players.

    spans: for each new player, the ranges of the old players' vectors that are concatenated to its vector.
    Returns, for each old player, the ranges of the new players' vectors that are concatenated to its vector.
    """
    found: dict[str, list[tuple[int, Span]]] = {}
    for name, each in spans:
        offset = 0
        for span in each:
            end = offset + span.stop - span.start
            found.setdefault(span.player, []).append((span.start, Span(name, offset, end)))
            offset = end
    return {
        player: joined([[span] for _, span in sorted(each, key=lambda pair: pair[0])]) for player, each in found.items()
    }


def cut(spans: Sequence[Span], window: Span) -> list[Span]:
    """Return a slice of a vector that is given as ranges of other vectors.

    spans: the ranges whose concatenation is the vector. window: the slice, from `window.start` to `window.stop`.
    Returns the ranges whose concatenation is the slice.
    """
    found: list[Span] = []
    offset = 0
    for span in spans:
        start, stop = max(window.start - offset, 0), min(window.stop - offset, span.stop - span.start)
        if start < stop:
            found.append(Span(span.player, span.start + start, span.start + stop))
        offset += span.stop - span.start
    return found


def joined(spans: Iterable[Iterable[Span]]) -> tuple[Span, ...]:
    """Concatenate lists of spans. Two neighbours become one span if the second begins where the first ends."""
    found: list[Span] = []
    for span in (span for each in spans for span in each):
        if found and (found[-1].player, found[-1].stop) == (span.player, span.start):
            span = Span(span.player, found.pop().start, span.stop)
        found.append(span)
    return tuple(found)
