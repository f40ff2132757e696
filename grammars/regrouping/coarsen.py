"""Coarse-graining: merge several players, and the operators between them, into one player. Inverse of `refine`."""

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
    """Merge several players of a grammar into one player `name`, which receives the gradients of all of them.

    players: the names of the players to merge. The operators between them are merged too; other operators only if they
    are named. Alternatively, the name of one brick (a named subgraph), for all players and operators in the brick.
    Returns the new grammar, with the correspondence between the old and the new parameters.

    If `refine` made the players from one module, the new player computes that module. Otherwise it computes a
    `Composite` of their modules. The players may be called several times in a round if they are connected in the same
    way each time. They may have clones if all clones are updated by the same rule.
    Between merged players, the Response graph (R) must be the chain rule. Messages from and to all other players, and
    edits of these messages, do not change.
    Raises GrammarError, with the reason, if the players cannot be merged.
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

    def named(player: str) -> tuple[str, ...]:
        return (name,) if player in group.players else (player,)

    guarantee = grammar.guarantee.regrouped(named, contracted.played)
    objective = grammar.objective.regrouped(named, contracted.port)
    coarse = Grammar(grammar.name, contracted.query, response, objective, guarantee)
    again = refine(coarse, name, into=into or children)
    _refuse_other_response(grammar, again.grammar, contracted, coarse, name)
    return Regrouping(grammar, coarse, _spans(again, grammar, group, name))


def _outputs(grammar: Grammar, group: Group, sweeps: Sweeps) -> tuple[tuple[int, int], ...]:
    """Return the outputs that the merged player needs, as (position of the node in a call, index of its output).

    An output is needed if a node outside the group takes the value, if the objective holds it fixed, or if the Response
    graph (R) reads the value or sends a message about it from outside the group.
    """
    out = {port for sweep in sweeps.sweeps for port in sweep.said} | grammar.objective.held
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
    """Find the module that `refine` divided into the brick's players.

    Returns the factory of that module, and the function that divided it. If there is no such module, returns the
    factory of a `Composite` of the players, and None.
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
    """Return the structure of a brick as a hashable value. Bricks that differ only in names have the same structure."""
    position = {part.name: index for index, part in enumerate(brick.parts)}
    owner = {name: index for index, name in enumerate(dict.fromkeys(part.owner for part in brick.parts))}

    def places(ports: Iterable[Port]) -> Hashable:
        return tuple((position.get(port.node, -1), port.index) for port in ports)

    parts = ((part.kind, owner[part.owner], part.factory, places(part.inputs)) for part in brick.parts)
    return tuple(parts), places(brick.outputs), brick.inputs


def _refuse_other_response(
    grammar: Grammar, again: Grammar, contracted: Contraction, coarse: Grammar, name: str
) -> None:
    """Raise GrammarError if, between the players to merge, the Response graph (R) is not the chain rule.

    grammar: the grammar before merging. coarse: the grammar with the merged player `name`.
    again: `coarse` with the merged player divided again. Its players must receive the same messages as in `grammar`.
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
    """Return the names of the group's players, in the order in which the Query graph calls them."""
    asked = (node.owner for node in group.uses[0].nodes)
    return tuple(dict.fromkeys(owner for owner in asked if owner in group.players))


def _spans(again: Regrouping, grammar: Grammar, group: Group, name: str) -> tuple[tuple[str, tuple[Span, ...]], ...]:
    """Return the parameter ranges (`Span`) of the `Regrouping` that merges the players of `group` into `name`.

    again: the `Regrouping` that divides the merged player again; its ranges are inverted.
    """
    names = dict(zip(again.grammar.query.players_in(name), _players(group), strict=True))
    for copy, clones in group.copies.items():
        clone_of = {clone.player: clone.name for clone in clones}
        of_parts = {each.player: each.name for each in again.grammar.query.clones if each.name.startswith(f"{copy}.")}
        names |= {of_parts[part]: clone_of[player] for part, player in names.items() if part in of_parts}
    return tuple(inverse((names.get(each, each), spans) for each, spans in again.spans).items())
