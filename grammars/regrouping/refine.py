"""Fine-graining: divide a player that is a network into one player per layer, or a layer into one player per unit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from antiphon.errors import GrammarError
from antiphon.grammars.brick import Brick
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.regrouping.correspondence import Regrouping, Span
from antiphon.grammars.regrouping.group import refuse_views
from antiphon.grammars.regrouping.parts import children
from antiphon.grammars.regrouping.positions import positions
from antiphon.grammars.regrouping.retelling import retell
from antiphon.grammars.regrouping.substitution import substitute
from antiphon.grammars.typed import typed

Into: TypeAlias = Callable[[Factory], Brick]
"""A function that divides a player: it takes the factory of the player's module, and returns a brick of parts.

The first argument of each part's factory is the factory of the player's module.
"""


@typed
def refine(game: Grammar | Regrouping, *players: str, into: Into = children) -> Regrouping:
    """Divide each of `players` into several players, which together receive the same gradient as the whole player.

    into: how to divide. `children`: a network into its modules. `units`: a layer into its units. Or any function from
    the factory of the player's module to a brick (a graph of players and operators).
    Returns the new grammar, with the correspondence between the old and the new parameters. The new players are named
    `player.part`, and have the same initial parameters as in the whole player.
    In the Response graph (R), each vector-Jacobian product of a divided player becomes one product per part. All other
    nodes of R stay as they are. Random operators draw from other random streams than before.
    Raises GrammarError for a name that is no player, and for a module that cannot be divided.
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
    refuse_views(grammar.query, [player])
    drawn = substitute(grammar.query, player, into(declaration.factory))
    parts = positions(player, declaration.factory, {part.name: part.factory for part in drawn.players})
    response = retell(grammar.response, drawn, player, parts)

    def named(name: str) -> Iterable[str]:
        return parts if name == player else (name,)

    guarantee = grammar.guarantee.regrouped(named, drawn.port)
    objective = grammar.objective.regrouped(named, drawn.port)
    refined = Grammar(grammar.name, drawn.query, response, objective, guarantee)
    return Regrouping(grammar, refined, _spans(Regrouping.none(grammar), player, parts, drawn.clones))


def _spans(
    before: Regrouping, player: str, parts: Mapping[str, tuple[Span, ...]], clones: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, tuple[Span, ...]], ...]:
    """Return the parameter ranges of `before`, with those of the player and its clones replaced by those of the parts.

    parts: the ranges of each part. clones: for each clone of the player, the names of the clones of the parts.
    """
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
