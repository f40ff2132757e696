"""Replace a player in a Query graph by a brick (a graph of players and operators)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from antiphon.errors import ShapeError
from antiphon.grammars.brick import Brick
from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import OracleDeclaration, Question
from antiphon.grammars.query import Node, PlayerDeclaration, Port, QueryGraph, Use


@dataclass(frozen=True)
class Expansion:
    """The new nodes that replace one old node of the Query graph.

    nodes: the new nodes, in order. Their inputs are outputs of each other, or placeholders for inputs of the old node.
    given: by placeholder, the port of the real input.
    outputs: for each output of the old node, the port of the same value among the new nodes.
    """

    nodes: tuple[Node, ...]
    given: Mapping[Port, Port]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class Substitution:
    """A new Query graph in which several players (the parts) replace one player.

    query: the new graph. expansions: by the name of each replaced node, the new nodes. players: the parts.
    clones: by the name of each clone of the replaced player, the names of the clones of the parts.
    """

    query: QueryGraph
    expansions: Mapping[str, Expansion]
    players: tuple[PlayerDeclaration, ...]
    clones: Mapping[str, tuple[str, ...]]

    def port(self, port: Port) -> Port:
        """Return the port in the new graph for a port of the old graph."""
        return self.expansions[port.node].outputs[port.index] if port.node in self.expansions else port


def substitute(query: QueryGraph, player: str, brick: Brick) -> Substitution:
    """Replace every node of a player and of its clones by the nodes of a brick (a graph of players and operators).

    Raises ShapeError if the outputs of the brick and of the player have different types.
    """
    q = QueryDraft()
    handle = q.player(player, brick)
    handles: dict[str, Callable[..., Any]] = {player: handle}  # Any: values
    for clone in query.clones:
        if clone.player == player:
            handles[clone.name] = q.clone(clone.name, handle, soft=clone.soft, cadence=clone.cadence)
    asked = [node for node in query.nodes if node.owner in handles]
    outputs = {node.name: _ask(q, query, node, handles[node.owner]) for node in asked}
    return _assemble(query, q.graph(), player, outputs)


def _ask(q: QueryDraft, query: QueryGraph, node: Node, handle: Callable[..., Any]) -> tuple[Port, ...]:
    """Add a copy of the brick to the draft `q`; it will replace the node `node` of the old Query graph.

    The inputs of the copy are placeholders. handle: the brick in the draft, as a function of its inputs.
    Returns, for each output of the old node, the port of the copy's output.
    """
    types = tuple(map(query.type_of, node.inputs))
    given = q.oracle(_entrance(node), OracleDeclaration(Factory.of(object), (Question("", (), types),)))()
    played = handle(*((given,) if isinstance(given, Value) else given))
    outputs = (played,) if isinstance(played, Value) else played
    if [value.type for value in outputs] != list(node.outputs):
        raise ShapeError(
            f"the parts of {node.owner!r} play {', '.join(repr(value.type) for value in outputs)} at node "
            f"{node.name!r}, where the whole plays {', '.join(map(repr, node.outputs))}; expected the same. "
            "Give the brick the outputs of the whole."
        )
    return tuple(value.port for value in outputs)


def _entrance(node: Node) -> str:
    return f"inputs of {node.name}"


def _assemble(
    query: QueryGraph, drawn: QueryGraph, player: str, outputs: Mapping[str, tuple[Port, ...]]
) -> Substitution:
    """Return the Query graph in which new nodes replace the nodes of `player` and of its clones.

    query: the old graph. drawn: a graph of the new nodes only.
    outputs: by the name of each replaced node, the ports of its outputs in `drawn`.
    """
    nodes: list[Node] = []
    expansions: dict[str, Expansion] = {}
    uses: dict[str, int] = {}
    for node in query.nodes:
        inputs = tuple(outputs[port.node][port.index] if port.node in outputs else port for port in node.inputs)
        if node.name not in outputs:
            nodes.append(replace(node, inputs=inputs))
            continue
        uses[node.owner] = uses.get(node.owner, 0) + 1
        inside = tuple(each for each in drawn.nodes if Use(node.owner, uses[node.owner]) in each.within)
        given = {Port(_entrance(node), index): port for index, port in enumerate(inputs)}
        expansions[node.name] = Expansion(inside, given, outputs[node.name])
        nodes += [_settle(each, node, given) for each in inside]
    parts = tuple(replace(part, part_of=query.player_by_name[player].seeded_as) for part in drawn.players)
    players = (part for each in query.players for part in (parts if each.name == player else (each,)))
    copies = {each.name: each for each in drawn.clones}
    copied = {
        each.name: tuple(name for name in copies if name.startswith(f"{each.name}."))
        for each in query.clones
        if each.player == player
    }
    clones = (
        part
        for each in query.clones
        for part in ([copies[name] for name in copied[each.name]] if each.name in copied else [each])
    )
    graph = QueryGraph(tuple(nodes), tuple(players), query.oracles, tuple(clones), query.passes)
    return Substitution(graph, expansions, parts, copied)


def _settle(part: Node, place: Node, given: Mapping[Port, Port]) -> Node:
    """Copy a new node into the place of an old node.

    part: the new node. place: the old node; the copy is in the same pass and in the same bricks.
    given: by placeholder, the port of the real input.
    """
    inputs = tuple(given.get(port, port) for port in part.inputs)
    return replace(part, inputs=inputs, query_pass=place.query_pass, within=(*place.within, *part.within))
