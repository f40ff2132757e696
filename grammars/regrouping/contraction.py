"""Replace a group of players in a Query graph by one player."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from antiphon.errors import GrammarError
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import infer, make_module
from antiphon.grammars.query import CloneDeclaration, Kind, Node, PlayerDeclaration, Port, QueryGraph
from antiphon.grammars.regrouping.group import Group, GroupUse
from antiphon.grammars.walks import ordered


@dataclass(frozen=True)
class Contraction:
    """A new Query graph in which one player replaces a group of players, and its correspondence to the old graph.

    query: the new graph.
    use: by the name of each new node, the old nodes that it replaces (one call of the group).
    node_of: by the name of each old node of the group, the name of the new node.
    place: by the port of each old value that leaves the group, the port of the same value in the new graph.
    """

    query: QueryGraph
    group: Group
    use: Mapping[str, GroupUse]
    node_of: Mapping[str, str]
    place: Mapping[Port, Port]

    def port(self, port: Port) -> Port:
        """Return the port in the new graph for a port of the old graph.

        Raises KeyError for a value that is used only inside the group, since the new graph does not have that value.
        """
        return self.place[port] if port.node in self.node_of else port

    def played(self, port: Port) -> Port | None:
        """Return the port in the new graph for a port of the old graph; None for a value used only inside the group."""
        return self.place.get(port) if port.node in self.node_of else port

    def outgoing(self, new: str) -> list[Port]:
        """Return, for each output of the new node `new`, the port of the same value in the old graph."""
        return [old for old, port in self.place.items() if port.node == new]


def contract(
    query: QueryGraph, group: Group, name: str, factory: Factory, part_of: str, outputs: Sequence[tuple[int, int]]
) -> Contraction:
    """Replace every call of a group of players in a Query graph by one node of the new player `name`.

    factory: the factory of the new player's module. part_of: the name of the player that it is a part of, or "".
    outputs: for each output of the new player, (position of the old node in a call, index of that node's output).
    Raises GrammarError if the new graph would have a cycle.
    """
    uses: dict[str, GroupUse] = {}
    counts: Counter[str] = Counter()
    for use in group.uses:
        owner = use.owner or name
        counts[owner] += 1
        uses[owner if counts[owner] == 1 else f"{owner}#{counts[owner]}"] = use
    node_of = {node.name: new for new, use in uses.items() for node in use.nodes}
    place = {
        Port(use.nodes[position].name, output): Port(new, index)
        for new, use in uses.items()
        for index, (position, output) in enumerate(outputs)
    }
    bare = Contraction(query, group, uses, node_of, place)
    return replace(bare, query=_assemble(bare, name, factory, part_of))


def _assemble(bare: Contraction, name: str, factory: Factory, part_of: str) -> QueryGraph:
    query, group = bare.query, bare.group
    nodes: dict[str, Node] = {}
    parameters = ()
    for node in query.nodes:
        new = bare.node_of.get(node.name)
        if new is None:
            nodes[node.name] = replace(node, inputs=tuple(map(bare.port, node.inputs)))
        elif new not in nodes:
            use = bare.use[new]
            asked = [query.type_of(port) for port in use.inputs]
            inferred = infer(f"player {name!r}", make_module, factory, asked, query.sizes)
            kind = Kind.CLONE if use.owner else Kind.PLAYER
            inputs = tuple(map(bare.port, use.inputs))
            nodes[new] = Node(
                new, kind, use.owner or name, inputs, inferred.outputs, node.query_pass, within=use.within
            )
            parameters = parameters or inferred.parameters
    declaration = PlayerDeclaration(name, factory, parameters, part_of)
    players = [declaration if each.name == group.players[0] else each for each in query.players]
    players = [each for each in players if each.name not in group.players or each is declaration]
    copied = {clones[0].name: (copy, clones[0]) for copy, clones in group.copies.items()}
    gone = {clone.name for clones in group.copies.values() for clone in clones[1:]}
    clones = [
        CloneDeclaration(copied[each.name][0], name, each.soft, each.cadence) if each.name in copied else each
        for each in query.clones
        if each.name not in gone
    ]
    return QueryGraph(_sorted(nodes, bare), tuple(players), query.oracles, tuple(clones), query.passes)


def _sorted(nodes: Mapping[str, Node], bare: Contraction) -> tuple[Node, ...]:
    """Sort the nodes topologically, and keep the order of the nodes that ask the same oracle.

    Raises GrammarError if the nodes form a cycle.
    """
    needs = {name: [port.node for port in node.inputs] for name, node in nodes.items()}
    last: dict[str, str] = {}
    for name, node in nodes.items():
        if node.kind is Kind.ORACLE:
            needs[name] += [last[node.owner]] if node.owner in last else []
            last[node.owner] = name
    found, stuck = ordered(nodes, needs)
    if stuck:
        new = set(bare.node_of.values())
        way = next(need for name in stuck if name in new for need in needs[name] if need in stuck)
        raise GrammarError(
            f"the players {list(bare.group.players)} cannot be one: an output comes back as an input through "
            f"{way!r}; expected only these players and operators on the paths between them. Take the players on that "
            "path into the group, or leave out the players before it or after it."
        )
    return tuple(nodes[name] for name in found)
