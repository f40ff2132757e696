"""Find the nodes of the Query graph (Q) that belong to a group of players which is to become one player."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from antiphon.errors import GrammarError
from antiphon.grammars.brick import Brick, brick_of
from antiphon.grammars.query import CloneDeclaration, Kind, Node, Port, QueryGraph, Use
from antiphon.grammars.walks import components


@dataclass(frozen=True)
class GroupUse:
    """Nodes of the Query graph that coarsening replaces by one node. Together they are one call of a group of players.

    owner: "" if the nodes belong to the players. If they belong to clones of the players: the name of the new clone.
    within: the bricks (named subgraphs) that will contain the new node.
    nodes: the nodes. inputs: the values from outside that they take, each once, in the order of their first use.
    """

    owner: str
    within: tuple[Use, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[Port, ...]


@dataclass(frozen=True)
class Group:
    """A group of players that will become one player.

    players: their names, in the order in which they compute.
    uses: the sets of nodes that become one node each (calls of the group): of the players, then of their clones.
    copies: by the name of each new clone, the old clones that it replaces.
    """

    players: tuple[str, ...]
    uses: tuple[GroupUse, ...]
    copies: Mapping[str, tuple[CloneDeclaration, ...]]

    def brick(self, query: QueryGraph, outputs: Sequence[tuple[int, int]]) -> Brick:
        """Return a brick (a subgraph without fixed inputs) that computes the same function as one call of the group.

        outputs: for each output of the brick, (position of the node in the call, index of that node's output).
        """
        use = self.uses[0]
        ports = [Port(use.nodes[position].name, index) for position, index in outputs]
        return brick_of(query, use.nodes, use.inputs, ports)


def group_of(query: QueryGraph, names: Sequence[str], name: str) -> Group:
    """Find the nodes of a Query graph that must be merged, so that several players become the one player `name`.

    names: the names of the players, operators and bricks (named subgraphs) to merge.
    Raises GrammarError if they cannot be one player.
    """
    owners = _owners(query, names)
    refuse_views(query, owners)
    players = tuple(dict.fromkeys(n.owner for n in query.nodes if n.kind is Kind.PLAYER and n.owner in owners))
    if not players:
        raise GrammarError(
            f"{list(names)} are no players of this Query graph; expected some of {sorted(query.player_by_name)}, or a "
            "brick of them. Name one of these."
        )
    uses = list(_uses(query, names, owners, ""))
    copies: dict[str, tuple[CloneDeclaration, ...]] = {}
    for clones in _copies(query, players):
        copied = {clone.name for clone in clones}
        copy = name + "~" * (len(copies) + 1)
        found = _uses(query, names, copied, copy)
        copies[found[0].owner if found else copy] = clones
        uses += found
    group = Group(players, tuple(uses), copies)
    _refuse_unlike_uses(query, group)
    return group


def _owners(query: QueryGraph, names: Sequence[str]) -> set[str]:
    owners: set[str] = set()
    for each in names:
        found = {
            node.owner
            for node in query.nodes
            if (node.owner == each or any(use.brick == each for use in node.within))
            and node.kind in (Kind.PLAYER, Kind.OPERATOR)
        }
        if not found:
            raise GrammarError(
                f"{each!r} is no player of this Query graph, nor an operator or a brick; "
                f"expected some of {sorted(query.player_by_name)}, or a brick of them. Correct the name."
            )
        owners |= found
    return owners


def _copies(query: QueryGraph, players: Sequence[str]) -> list[tuple[CloneDeclaration, ...]]:
    """Return tuples of clones: the first clone of every player, then the second clone of every player, and so on.

    Raises GrammarError if the players have different numbers of clones, or clones with different update rules.
    """
    clones = [[clone for clone in query.clones if clone.player == player] for player in players]
    copies = list(zip(*clones, strict=False))
    alike = all(len({(each.soft, each.cadence) for each in copy}) == 1 for copy in copies)
    if len({len(each) for each in clones}) > 1 or not alike:
        raise GrammarError(
            f"the players {list(players)} are not cloned alike; expected as many clones of each, which follow by the "
            "same rule. Clone all of them alike, or leave the players apart."
        )
    return copies


def _uses(query: QueryGraph, names: Sequence[str], owners: set[str], copy: str) -> list[GroupUse]:
    """Divide the nodes of a group of players into calls of the group; each call will become one node.

    Several divisions are tried in order. The result is the first division in which all calls compute the same function.
    If there is no such division, the result is the first division.
    """
    bricks = _uses_of_brick(query, names, owners)
    pieces = _components(query, owners)
    ways = [bricks] if bricks is not None else [pieces, _by_turn(query, pieces, owners), [_sorted(query, pieces)]]
    found = [[_use(query, nodes, copy) for nodes in way] for way in ways if all(map(_in_one_pass, way))]
    return next((uses for uses in found if _alike(query, uses)), found[0])


def _by_turn(query: QueryGraph, pieces: list[list[Node]], owners: set[str]) -> list[list[Node]]:
    """Divide nodes by how often their player has computed before: first the first calls, then the second calls, ...

    pieces: connected components of the nodes; a component is not divided. A component with calls of different numbers
    is placed by its earliest call.
    """
    turn: dict[str, int] = {}
    for owner in owners:
        asked = [node.name for node in query.nodes if node.owner == owner and node.kind is not Kind.OPERATOR]
        turn |= {name: index for index, name in enumerate(asked)}
    found: dict[int, list[list[Node]]] = {}
    for nodes in pieces:
        first = min((turn[node.name] for node in nodes if node.name in turn), default=0)
        found.setdefault(first, []).append(nodes)
    return [_sorted(query, found[index]) for index in sorted(found)]


def _sorted(query: QueryGraph, pieces: Iterable[list[Node]]) -> list[Node]:
    """Return all nodes of the pieces in one list, in the order of the Query graph."""
    names = {node.name for nodes in pieces for node in nodes}
    return [node for node in query.nodes if node.name in names]


def _in_one_pass(nodes: list[Node]) -> bool:
    return len({node.query_pass for node in nodes}) == 1


def _uses_of_brick(query: QueryGraph, names: Sequence[str], owners: set[str]) -> list[list[Node]] | None:
    """Return the nodes of each call of the brick `names[0]`, or of its clones.

    Returns None if `names` has several names, or names a player.
    """
    if len(names) != 1 or names[0] in query.player_by_name:
        return None
    home = next(node for node in query.nodes if any(use.brick == names[0] for use in node.within))
    depth = [use.brick for use in home.within].index(names[0])
    asked = [node for node in query.nodes if node.owner in owners and node.kind in (Kind.PLAYER, Kind.CLONE)]
    uses = dict.fromkeys(node.within[: depth + 1] for node in asked)
    return [[node for node in query.nodes if node.within[: depth + 1] == use] for use in uses]


def _components(query: QueryGraph, owners: set[str]) -> list[list[Node]]:
    """Return the nodes of the owners in `owners` and the operators between them: one list per connected component."""
    members = {node.name for node in query.nodes if node.owner in owners}
    inside = members | _between(query, members)
    nodes = [node for node in query.nodes if node.name in inside]
    root = components(inside, ((node.name, port.node) for node in nodes for port in node.inputs if port.node in inside))
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(root[node.name], []).append(node)
    return list(found.values())


def _between(query: QueryGraph, members: set[str]) -> set[str]:
    """Return the names of the operators on paths between two nodes of a group. Such a path passes only operators."""
    after: set[str] = set(members)
    for node in query.nodes:
        if node.kind is Kind.OPERATOR and any(port.node in after for port in node.inputs):
            after.add(node.name)
    before: set[str] = set(members)
    for node in reversed(query.nodes):
        if node.name in before:
            before |= {port.node for port in node.inputs if query.by_name[port.node].kind is Kind.OPERATOR}
    return (after & before) - members


def _use(query: QueryGraph, nodes: Sequence[Node], copy: str) -> GroupUse:
    inside = {node.name for node in nodes}
    inputs = dict.fromkeys(port for node in nodes for port in node.inputs if port.node not in inside)
    within, covered = _within(query, nodes)
    owner = covered.brick if copy and covered else copy
    return GroupUse(owner, within, tuple(nodes), tuple(inputs))


def _within(query: QueryGraph, nodes: Sequence[Node]) -> tuple[tuple[Use, ...], Use | None]:
    """Return the bricks (named subgraphs) that contain all of `nodes` and further nodes, from outside to inside.

    The second result is the outermost brick that contains exactly `nodes`; None if there is no such brick.
    """
    inside = {node.name for node in nodes}
    kept: list[Use] = []
    for use in nodes[0].within:
        holds = {node.name for node in query.nodes if use in node.within}
        if not inside <= holds:
            break
        if holds == inside:
            return tuple(kept), use
        kept.append(use)
    return tuple(kept), None


def _alike(query: QueryGraph, uses: Iterable[GroupUse]) -> bool:
    return len({_form(query, use) for use in uses}) == 1


def _form(query: QueryGraph, use: GroupUse) -> tuple[object, ...]:
    """Return the structure of one call of a group, without node names.

    Two calls with the same structure compute the same function.
    """
    players = {clone.name: clone.player for clone in query.clones}
    position = {node.name: index for index, node in enumerate(use.nodes)}
    entrance = {port: index for index, port in enumerate(use.inputs)}
    form: list[object] = []
    for node in use.nodes:
        inputs = (
            ("in", entrance[port]) if port in entrance else (position[port.node], port.index) for port in node.inputs
        )
        who = node.operator.description if node.operator else players.get(node.owner, node.owner)
        form.append((who, *inputs))
    return tuple(form)


def _refuse_unlike_uses(query: QueryGraph, group: Group) -> None:
    if not _alike(query, group.uses):
        asked = "; ".join(", ".join(node.name for node in use.nodes) for use in group.uses)
        raise GrammarError(
            f"the players {list(group.players)} are asked differently from one time to the next ({asked}); expected "
            "the same composition each time, since one player plays one function. Leave out the players that are asked "
            "elsewhere."
        )


def refuse_views(query: QueryGraph, owners: Collection[str]) -> None:
    """Raise GrammarError if the gradient or the parameters of an owner are a value of the Query graph.

    owners: players, or operators, that are to be divided or merged.
    """
    found = next((node for node in query.nodes if node.view is not None and node.owner in owners), None)
    if found is not None:
        raise GrammarError(
            f"{found.owner!r} cannot be regrouped, since {found.name!r} computes another function of it "
            f"({found.view!r}); expected a player whose gradient and parameters are no values of the Query graph. "
            "Write the grammar with the players that you want, and ask for their gradients."
        )
