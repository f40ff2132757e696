"""Maps parameters between two grammars that divide the same parameters into different players."""

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
    """A range of consecutive numbers in one player's parameter vector.

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
    """Two grammars that group the same parameters into different players, and how the parameters correspond.

    spans: for each player and clone of `grammar`, the ranges of the vectors of `origin` that make up its parameter
    vector, in order. Gradients correspond like parameters.
    Raises GrammarError unless the spans have as many numbers as each player, in both grammars.
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
        """The regrouping that changes nothing."""
        return cls(grammar, grammar, tuple((name, (Span(name, 0, size),)) for name, size in sizes(grammar).items()))

    @functools.cached_property
    def back(self) -> "Regrouping":
        """The same regrouping, from `grammar` to `origin`."""
        return Regrouping(self.grammar, self.origin, tuple(inverse(self.spans).items()))

    @typed
    def then(self, further: "Regrouping") -> "Regrouping":
        """Return this regrouping followed by `further`, which starts from `grammar`."""
        own = dict(self.spans)
        spans = ((name, joined(cut(own[span.player], span) for span in each)) for name, each in further.spans)
        return Regrouping(self.origin, further.grammar, tuple(spans))

    @typed
    def carry(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert one vector per player (or clone) of `origin` to one per player of `grammar`.

        vectors: parameters or gradients, by name. If one is missing, the players that need it are left out.
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
    """The number of parameters of each player and of each clone, by name."""
    players = grammar.query.player_by_name
    everybody = {name: name for name in players} | {clone.name: clone.player for clone in grammar.query.clones}
    return {name: size_of(players[player].space.shape[0]) for name, player in everybody.items()}


def size_of(dimension: object) -> int:
    """Return the dimension. It must be an int, not a symbol."""
    assert isinstance(dimension, int)  # a parameter vector has no symbolic size
    return dimension


def inverse(spans: Iterable[tuple[str, Sequence[Span]]]) -> dict[str, tuple[Span, ...]]:
    """Reverse a correspondence: for each player that the spans name, where its numbers lie in the listed vectors."""
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
    """Return the spans of the elements from `window.start` to `window.stop` of the vector that `spans` make up."""
    found: list[Span] = []
    offset = 0
    for span in spans:
        start, stop = max(window.start - offset, 0), min(window.stop - offset, span.stop - span.start)
        if start < stop:
            found.append(Span(span.player, span.start + start, span.start + stop))
        offset += span.stop - span.start
    return found


def joined(spans: Iterable[Iterable[Span]]) -> tuple[Span, ...]:
    """Concatenate spans. A span that continues the previous span is merged with it."""
    found: list[Span] = []
    for span in (span for each in spans for span in each):
        if found and (found[-1].player, found[-1].stop) == (span.player, span.start):
            span = Span(span.player, found.pop().start, span.stop)
        found.append(span)
    return tuple(found)
