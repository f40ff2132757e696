"""A Query graph in which one player replaces a group of players."""

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
    """A Query graph in which a group has become one player, and how the graph corresponds to the old one.

    query: the new graph. use: for each new node, the use of the group that it replaces. node_of: for each old node in
    the group, the new node. place: for each old value that leaves the group, its port in the new graph.
    """

    query: QueryGraph
    group: Group
    use: Mapping[str, GroupUse]
    node_of: Mapping[str, str]
    place: Mapping[Port, Port]

    def port(self, port: Port) -> Port:
        """The port of an old value in the new graph. Raises KeyError if the value does not leave the group."""
        return self.place[port] if port.node in self.node_of else port

    def played(self, port: Port) -> Port | None:
        """The port of an old value in the new graph; None if the value does not leave the group."""
        return self.place.get(port) if port.node in self.node_of else port

    def outgoing(self, new: str) -> list[Port]:
        """The old values at the outputs of a new node, in order."""
        return [old for old, port in self.place.items() if port.node == new]


def contract(
    query: QueryGraph, group: Group, name: str, factory: Factory, part_of: str, outputs: Sequence[tuple[int, int]]
) -> Contraction:
    """Replace every use of `group` by one node of the player `name`. Raises GrammarError if that makes a cycle.

    factory, part_of: those of the new player. outputs: for each of its outputs, (position of the old node in a use,
    output of that node).
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
    """Order the nodes so that each comes after its inputs, and each oracle's questions keep their order."""
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
