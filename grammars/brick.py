"""Bricks: a brick is a group of players, with the operators between them, that takes the place of one player in a Query
graph (essay, Remark 3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from antiphon.errors import GrammarError
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import makes_parameters
from antiphon.grammars.query import Kind, Node, Port, QueryGraph
from antiphon.grammars.typed import typed
from antiphon.grammars.walks import reached

ENTRANCE = ""
"""Name of the node whose outputs are the inputs of a brick."""


@dataclass(frozen=True)
class BrickNode:
    """One node of a brick: a call of a player, or of an operator without parameters.

    owner: the name of the player that is asked, or of the operator. Two nodes with the same owner are one player that
    is asked twice.
    factory: makes the operator. The factory of a player may be a brick.
    inputs: outputs of earlier nodes, or `Port(ENTRANCE, i)` for input i of the brick.
    """

    name: str
    kind: Kind
    owner: str
    factory: "Factory | Brick"
    inputs: tuple[Port, ...]

    @property
    def operation(self) -> Factory:
        """Return the factory of this node's operator. Raises GrammarError if the node is itself a brick."""
        if isinstance(self.factory, Factory):
            return self.factory
        raise GrammarError(
            f"part {self.name!r} is an operator, and was given {self.factory!r}; expected a parameterless operation. "
            "Declare the part as a player: a brick stands in a player's place."
        )


@typed
@dataclass(frozen=True)
class Brick:
    """A piece of a Query graph with open inputs and outputs. It contains no types: they are inferred at each use.

    In a draft, a brick can be passed instead of a player's module: `q.player("Actor", brick)` names the brick's players
    `Actor.Dense1` and so on. The handle may be called several times, and cloned. The edit `cut_into("Actor")` treats
    the brick as one player.
    outputs: ports of the brick's nodes. inputs: the number of inputs. Raises GrammarError if a node takes the output of
    a later node, or if the brick has no player.
    """

    parts: tuple[BrickNode, ...]
    outputs: tuple[Port, ...]
    inputs: int = 1

    def __post_init__(self) -> None:
        known = {ENTRANCE}
        for part in self.parts:
            _refuse_unknown(f"part {part.name!r} of a brick takes", part.inputs, known)
            known.add(part.name)
        _refuse_unknown("a brick plays", self.outputs, known - {ENTRANCE})
        if not self.players:
            raise GrammarError(
                f"a brick of {[part.name for part in self.parts]} has no player; expected at least one part with "
                "parameters. Draw its operators with `operator`, one by one."
            )

    @property
    def players(self) -> Mapping[str, "Factory | Brick"]:
        """The factory of each player, by its name within the brick."""
        return {part.owner: part.factory for part in self.parts if part.kind is Kind.PLAYER}

    def __repr__(self) -> str:
        return f"brick({', '.join(dict.fromkeys(part.owner for part in self.parts))})"


@typed
def brick(layers: Mapping[str, "Factory | Brick"], skips: Mapping[str, str] | None = None) -> Brick:
    """Make a brick (a group of players) of a feedforward network, with one player per layer.

    layers: the layers by name, in order. A factory that makes parameters becomes a player, a brick becomes several
    players, and any other factory becomes an operator. skips: layer -> an earlier layer (or "x", the input) whose
    output is added to its own.

    >>> brick({"Dense1": Factory.of(torch.nn.Linear, 3, 8), "Squash": Factory.of(torch.nn.Tanh)})
    brick(Dense1, Squash)
    """
    parts: list[BrickNode] = []
    played = {"x": Port(ENTRANCE)}
    current = played["x"]
    for name, factory in layers.items():
        player = isinstance(factory, Brick) or makes_parameters(factory)
        parts.append(BrickNode(name, Kind.PLAYER if player else Kind.OPERATOR, name, factory, (current,)))
        current = Port(name)
        if skips and name in skips:
            sum_ = f"{name} + {skips[name]}"
            parts.append(BrickNode(sum_, Kind.OPERATOR, sum_, Factory.of(torch.add), (current, played[skips[name]])))
            current = Port(sum_)
        played[name] = current
    return Brick(tuple(parts), (current,))


@typed
def cut_out(query: QueryGraph, inputs: Sequence[Port], outputs: Sequence[Port]) -> Brick:
    """Return the part of a Query graph that leads from `inputs` to `outputs`, as a brick for another grammar.

    Raises GrammarError if an oracle, a loss or a clone lies on the way from the inputs to the outputs, because these
    belong to the grammar as a whole.
    """

    def inside(ports: Sequence[Port]) -> list[str]:
        return [port.node for port in ports if port not in inputs]

    needed = reached(inside(outputs), lambda name: inside(query.by_name[name].inputs))
    nodes = [node for node in query.nodes if node.name in needed]
    for node in reversed(nodes):
        _refuse_kind(node, inputs)
    return brick_of(query, nodes, inputs, outputs)


def brick_of(query: QueryGraph, nodes: Sequence[Node], inputs: Sequence[Port], outputs: Sequence[Port]) -> Brick:
    """Make a brick (a group of players) of the nodes `nodes` of a Query graph, in their order.

    Nodes of a clone become nodes of the clone's player.
    """
    players = {clone.name: clone.player for clone in query.clones}
    entrances = {port: Port(ENTRANCE, index) for index, port in enumerate(inputs)}
    parts: list[BrickNode] = []
    for node in nodes:
        owner = players.get(node.owner, node.owner)
        factory = node.operator or query.player_by_name[owner].factory
        kind = Kind.OPERATOR if node.kind is Kind.OPERATOR else Kind.PLAYER
        parts.append(
            BrickNode(node.name, kind, owner, factory, tuple(entrances.get(port, port) for port in node.inputs))
        )
    return Brick(tuple(parts), tuple(outputs), len(inputs))


def _refuse_kind(node: Node, inputs: Sequence[Port]) -> None:
    if node.kind not in (Kind.PLAYER, Kind.OPERATOR) or node.view is not None:
        who = f"{node.kind} {node.owner!r}" if node.view is None else f"{node.name!r} ({node.view!r})"
        raise GrammarError(
            f"{who} lies between {list(inputs)} and what is to be cut out; expected players and "
            "operators only. Name its outputs among the inputs of the brick."
        )


def _refuse_unknown(who: str, ports: Sequence[Port], known: set[str]) -> None:
    for port in ports:
        if port.node not in known:
            raise GrammarError(
                f"{who} {port!r}, which no part before plays; expected an output of one of "
                f"{sorted(known - {ENTRANCE})}. Order the parts by dependence, or name an input of the brick."
            )
