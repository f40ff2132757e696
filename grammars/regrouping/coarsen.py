"""Coarse-graining: several players, with the operators between them, become one player; the inverse of `refine`."""

import contextlib
from collections.abc import Callable, Hashable, Iterable
from typing import TypeAlias

from antiphon.errors import GrammarError
from antiphon.grammars.brick import Brick
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Port, Use
from antiphon.grammars.regrouping.composite import Composite
from antiphon.grammars.regrouping.contraction import Contraction, contract
from antiphon.grammars.regrouping.correspondence import Regrouping, Span, inverse
from antiphon.grammars.regrouping.gathering import Sweeps, gather
from antiphon.grammars.regrouping.group import Group, group_of
from antiphon.grammars.regrouping.parts import children, units
from antiphon.grammars.regrouping.refine import refine
from antiphon.grammars.regrouping.sameness import Forms
from antiphon.grammars.response import Tap
from antiphon.grammars.typed import typed

Into: TypeAlias = Callable[[Factory], Brick]


@typed
def coarsen(game: Grammar | Regrouping, players: Iterable[str] | str, name: str) -> Regrouping:
    """Make one player `name` of several `players`. The new player receives the same gradients.

    players: names of players; the operators between them are included, other operators only if they are named. Or the
    name of one brick, for all its nodes. The players may be asked several times if all uses have the same form. They
    may be cloned if all clones follow by the same rule.
    The operator of the new player is the module from which the players were refined; if they were not refined, a
    `Composite`. Inside the group, R must be the chain rule. Messages into and out of the group, and edits of these
    messages, stay as they are.
    Raises GrammarError, with the reason, if the group cannot be one player.
    """
    found = game if isinstance(game, Regrouping) else Regrouping.none(game)
    names = [players] if isinstance(players, str) else list(players)
    return found.then(_coarsen(found.grammar, names, name))


def _coarsen(grammar: Grammar, names: list[str], name: str) -> Regrouping:
    query = grammar.query
    group = group_of(query, names, name)
    sweeps = Sweeps(query, grammar.response, group, name)
    outputs = _outputs(grammar, group, sweeps)
    brick = group.brick(query, outputs)
    factory, into = _whole(brick)
    part_of = query.player_by_name[group.players[0]].part_of if into is not None else ""
    contracted = contract(query, group, name, factory, "" if part_of == name else part_of, outputs)
    response = gather(sweeps, contracted)
    guarantee = grammar.guarantee.regrouped(
        lambda player: (name,) if player in group.players else (player,), contracted.played
    )
    coarse = Grammar(grammar.name, contracted.query, response, grammar.objective, guarantee)
    again = refine(coarse, name, into=into or children)
    _refuse_other_response(grammar, again.grammar, contracted, coarse, name)
    return Regrouping(grammar, coarse, _spans(again, grammar, group, name))


def _outputs(grammar: Grammar, group: Group, sweeps: Sweeps) -> tuple[tuple[int, int], ...]:
    """The outputs that the new player needs, as (position of the node in a use, output of that node).

    These are the values that a node outside the group or a tap takes, or about which R sends a message from outside.
    """
    out = {port for sweep in sweeps.sweeps for port in sweep.said}
    out |= {node.port for node in grammar.response.nodes if isinstance(node, Tap)}
    for node in grammar.query.nodes:
        out |= {port for port in node.inputs if sweeps.inside.get(port.node) != sweeps.inside.get(node.name)}
    positions = {
        (position, port.index)
        for use in group.uses
        for position, node in enumerate(use.nodes)
        for port in out
        if port.node == node.name
    }
    return tuple(sorted(positions)) or ((len(group.uses[0].nodes) - 1, 0),)


def _whole(brick: Brick) -> tuple[Factory, Into | None]:
    """The factory from which a brick's players were refined, and the function that refined it.

    If there is none, the factory of a `Composite` of the players, and None.
    """
    wholes = {factory.arguments[0] if factory.arguments else None for factory in map(_made_by, brick.players.values())}
    (whole, *others) = wholes
    if isinstance(whole, Factory) and not others:
        for into in (children, units):
            with contextlib.suppress(GrammarError):
                if _form(into(whole)) == _form(brick):
                    return whole, into
    return Factory.of(Composite, brick), None


def _made_by(factory: Factory | Brick) -> Factory:
    assert isinstance(factory, Factory)  # a draft has expanded the bricks of a Query graph into players
    return factory


def _form(brick: Brick) -> Hashable:
    """The structure of a brick without the names of its parts."""
    position = {part.name: index for index, part in enumerate(brick.parts)}
    owner = {name: index for index, name in enumerate(dict.fromkeys(part.owner for part in brick.parts))}

    def places(ports: Iterable[Port]) -> Hashable:
        return tuple((position.get(port.node, -1), port.index) for port in ports)

    parts = ((part.kind, owner[part.owner], part.factory, places(part.inputs)) for part in brick.parts)
    return tuple(parts), places(brick.outputs), brick.inputs


def _refuse_other_response(
    grammar: Grammar, again: Grammar, contracted: Contraction, coarse: Grammar, name: str
) -> None:
    """Raise GrammarError if R is not the chain rule inside the group.

    again: the coarse grammar, refined again. Its players must receive the same messages as those of `grammar`.
    """
    group = contracted.group
    old: dict[str, str] = {}
    uses: dict[str, int] = {}
    for node in coarse.query.nodes:
        if node.name in contracted.node_of.values():
            uses[node.owner] = uses.get(node.owner, 0) + 1
            use = Use(node.owner, uses[node.owner])
            parts = [part.name for part in again.query.nodes if use in part.within]
            old |= dict(zip(parts, (each.name for each in contracted.use[node.name].nodes), strict=True))
    forms = Forms()
    players = dict(zip(again.query.players_in(name), _players(group), strict=True))
    told = forms.heard(again.response, lambda port: Port(old.get(port.node, port.node), port.index))
    found = {players.get(player, player): number for player, number in told.items()}
    for player, number in forms.heard(grammar.response, lambda port: port).items():
        if found.get(player) != number:
            raise GrammarError(
                f"the players {list(group.players)} cannot be one player {name!r}: {player!r} receives another "
                "message than by the chain rule inside the group; expected the chain rule there, because one player "
                "has one product. Leave the players on one side of the edit out of the group, or undo the edit."
            )


def _players(group: Group) -> tuple[str, ...]:
    """The group's players, in the order in which one use asks them: the order of a brick's players."""
    asked = (node.owner for node in group.uses[0].nodes)
    return tuple(dict.fromkeys(owner for owner in asked if owner in group.players))


def _spans(again: Regrouping, grammar: Grammar, group: Group, name: str) -> tuple[tuple[str, tuple[Span, ...]], ...]:
    """The spans of a `Regrouping` from `grammar` to the coarse grammar. again: the coarse grammar, refined again."""
    names = dict(zip(again.grammar.query.players_in(name), _players(group), strict=True))
    for copy, clones in group.copies.items():
        clone_of = {clone.player: clone.name for clone in clones}
        of_parts = {each.player: each.name for each in again.grammar.query.clones if each.name.startswith(f"{copy}.")}
        names |= {of_parts[part]: clone_of[player] for part, player in names.items() if part in of_parts}
    return tuple(inverse((names.get(each, each), spans) for each, spans in again.spans).items())
