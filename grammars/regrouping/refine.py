"""Fine-graining: a network player becomes layer players, a layer player becomes unit players; R follows Q."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from antiphon.errors import GrammarError
from antiphon.grammars.brick import Brick
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.regrouping.correspondence import Regrouping, Span
from antiphon.grammars.regrouping.parts import children
from antiphon.grammars.regrouping.positions import positions
from antiphon.grammars.regrouping.retelling import retell
from antiphon.grammars.regrouping.substitution import substitute
from antiphon.grammars.typed import typed

Into: TypeAlias = Callable[[Factory], Brick]
"""A function from a player's factory to the brick that replaces the player. Its factories take the player's factory."""


@typed
def refine(game: Grammar | Regrouping, *players: str, into: Into = children) -> Regrouping:
    """Replace each of `players` by several players. The new players receive the same gradients.

    into: `children`, the modules of a network; `units`, the units of a layer; or another function from the player's
    factory to a brick. Parts are named `player.part`, and start with the same numbers as in the whole.
    In R, each product of the player becomes the products of its parts, in reverse order. Edits, taps and answers stay
    as they are. Random operators draw from other random streams afterwards.
    Raises GrammarError for a name that is no player, and for a module that does not decompose.
    """
    found = game if isinstance(game, Regrouping) else Regrouping.none(game)
    for player in players:
        found = found.then(_refine(found.grammar, player, into))
    return found


def _refine(grammar: Grammar, player: str, into: Into) -> Regrouping:
    declaration = grammar.query.player_by_name.get(player)
    if declaration is None:
        raise GrammarError(
            f"{player!r} is no player of grammar {grammar.name!r} that could be refined; "
            f"expected one of {sorted(grammar.query.player_by_name)}. Name one of these."
        )
    drawn = substitute(grammar.query, player, into(declaration.factory))
    parts = positions(player, declaration.factory, {part.name: part.factory for part in drawn.players})
    response = retell(grammar.response, drawn, player, parts)
    guarantee = grammar.guarantee.regrouped(lambda name: parts if name == player else (name,), drawn.port)
    refined = Grammar(grammar.name, drawn.query, response, grammar.objective, guarantee)
    return Regrouping(grammar, refined, _spans(Regrouping.none(grammar), player, parts, drawn.clones))


def _spans(
    before: Regrouping, player: str, parts: Mapping[str, tuple[Span, ...]], clones: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, tuple[Span, ...]], ...]:
    """The spans of `before`. The parts and their clones replace the player and its clones."""
    spans: dict[str, tuple[Span, ...]] = {}
    for name, whole in before.spans:
        if name == player:
            spans |= parts
        elif name in clones:
            copied = zip(clones[name], parts.values(), strict=True)
            spans |= {each: tuple(Span(name, span.start, span.stop) for span in own) for each, own in copied}
        else:
            spans[name] = whole
    return tuple(spans.items())
