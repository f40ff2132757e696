"""The Query graph: which nodes are asked, on which inputs, and in which order (essay, Definitions 6 and 7)."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod

import torch

from antiphon.errors import GrammarError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.derived import ModuleView
from antiphon.grammars.factory import Factory
from antiphon.grammars.names import fault_of
from antiphon.grammars.numbers import Share
from antiphon.grammars.oracle import Box, OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Dimension, EdgeType
from antiphon.grammars.walks import reached


class Kind(StrEnum):
    """The kind of a node of a Query graph: player, clone, oracle, operator or loss."""

    ORACLE = "oracle"
    PLAYER = "player"
    CLONE = "clone"
    OPERATOR = "operator"
    LOSS = "loss"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """One output of one node of a graph: the node's name, and the index of the output."""

    node: str
    index: int = 0

    def __repr__(self) -> str:
        return self.node if self.index == 0 else f"{self.node}.{self.index}"


@dataclass(frozen=True)
class Parameter:
    """One tensor of a player's parameter space: its name inside the player's module, shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class PlayerDeclaration:
    """A player: its name, and the operator that its parameters determine. The player's optimizer is given at launch.

    factory: makes a `torch.nn.Module`; called on the player's worker under the player's seed.
    parameters: the tensors that span the player's parameter space, in the order of `named_parameters`. A response is
    one vector over all of them. part_of: if a refinement split a player and this is one part, the name of the player
    that was split; otherwise empty. The part is made under the seed of the player that was split.
    """

    name: str
    factory: Factory
    parameters: tuple[Parameter, ...]
    part_of: str = ""

    @property
    def seeded_as(self) -> str:
        """The name from which the player's seed is computed.

        Parts of a player that was split have the name of that player, so that they start with the same parameters.
        """
        return self.part_of or self.name

    @property
    def space(self) -> EdgeType:
        """The type of the player's flat parameter vector."""
        return EdgeType((sum(prod(parameter.shape) for parameter in self.parameters),), self.parameters[0].dtype)


@typed
@dataclass(frozen=True)
class CloneDeclaration:
    """A copy of a player (a target network). In each round of `cadence`, the copy follows the player after its move.

    soft: the fraction in (0, 1] of the distance to the player that one step covers; None copies the player's
    parameters. A clone has no optimizer and receives no gradient.
    """

    name: str
    player: str
    soft: Share | None = None
    cadence: Cadence = Cadence()


@dataclass(frozen=True)
class NamedOracle:
    """An oracle of a Query graph: its name and its declaration."""

    name: str
    declaration: OracleDeclaration


@dataclass(frozen=True)
class QueryPass:
    """A set of nodes of the Query graph that are asked in the same rounds, for example for acting or for learning."""

    name: str
    cadence: Cadence = Cadence()


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a brick (a group of players, see `Brick`): the brick's name and the number of the use, from 1."""

    brick: str
    number: int = 1


@dataclass(frozen=True)
class Node:
    """One node of a Query graph: one call of a player, clone, oracle, operator or loss.

    owner: the name of the player, clone or oracle that is asked; for an operator or a loss, its own name.
    question: for an oracle, the question that is asked; empty for other nodes.
    operator: for an operator or a loss, the function that it computes; None for other nodes.
    view: what the node computes from its module or function instead of its outputs; None for the outputs.
    within: the uses of bricks that contain the node, the outermost first. It does not influence the computation.
    """

    name: str
    kind: Kind
    owner: str
    inputs: tuple[Port, ...]
    outputs: tuple[EdgeType, ...]
    query_pass: str
    question: str = ""
    operator: Factory | None = None
    within: tuple[Use, ...] = ()
    view: ModuleView | None = None

    @property
    def learned(self) -> bool:
        """Whether the outputs depend on the parameters of a player, so that it can learn from this node."""
        return self.kind is Kind.PLAYER and (self.view is None or self.view.own)

    @property
    def draws_as(self) -> str:
        """The name of the node whose random numbers this one draws: its own, or that of the node it differentiates."""
        return self.view.of or self.name if self.view is not None else self.name

    def __repr__(self) -> str:
        asked = f".{self.question}" if self.question else ""
        what = self.operator if self.operator is not None else f"{self.kind} {self.owner}{asked}"
        what = what if self.view is None else f"{what}, {self.view!r}"
        inputs = ", ".join(map(repr, self.inputs))
        return f"{self.name} = {what} ({inputs}) -> {', '.join(map(repr, self.outputs))}"


@typed
@dataclass(frozen=True)
class QueryGraph:
    """A frozen Query graph: its nodes, in the order in which they are asked.

    Within a round, an oracle answers its questions in that order. The graph is built by a `QueryDraft`, or by hand.
    Raises GrammarError for a name used twice, an input that is the output of no node, a cycle, or an edge between
    passes.
    """

    nodes: tuple[Node, ...]
    players: tuple[PlayerDeclaration, ...]
    oracles: tuple[NamedOracle, ...] = ()
    clones: tuple[CloneDeclaration, ...] = ()
    passes: tuple[QueryPass, ...] = (QueryPass("round"),)

    def __post_init__(self) -> None:
        _refuse_unprintable_names(self)
        _refuse_repeated_names(self)
        _refuse_unknown_owners(self)
        refuse_conflicting_sizes(self.oracles)
        _refuse_bad_order(self)

    @functools.cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Every node by its name."""
        return {node.name: node for node in self.nodes}

    @functools.cached_property
    def player_by_name(self) -> Mapping[str, PlayerDeclaration]:
        """Every player by its name."""
        return {player.name: player for player in self.players}

    @functools.cached_property
    def owners(self) -> frozenset[str]:
        """The names of all players, clones, oracles, operators and losses that are asked, and of all bricks."""
        bricks = (use.brick for node in self.nodes for use in node.within)
        return frozenset((*(node.owner for node in self.nodes), *bricks))

    @functools.cached_property
    def cadences(self) -> Mapping[str, Cadence]:
        """The cadence (the rounds in which it is played) of every pass, by the pass's name."""
        return {query_pass.name: query_pass.cadence for query_pass in self.passes}

    @functools.cached_property
    def sizes(self) -> Mapping[str, int]:
        """The size of every symbolic dimension that an oracle introduces."""
        return {name: size for oracle in self.oracles for name, size in oracle.declaration.sizes}

    def type_of(self, port: Port) -> EdgeType:
        """The type of the values at a port."""
        return self.by_name[port.node].outputs[port.index]

    def box_of(self, node: Node) -> Box:
        """Return GRAY if a vector-Jacobian product of this node can be computed, else BLACK.

        Only oracles can be black.
        """
        if node.kind is not Kind.ORACLE:
            return Box.GRAY
        return self.question_of(node).box

    def question_of(self, node: Node) -> Question:
        """Return the declaration of the question that this node asks an oracle."""
        oracle = next(oracle for oracle in self.oracles if oracle.name == node.owner)
        question = oracle.declaration.question(node.question)
        assert question is not None  # held by _refuse_unknown_owners
        return question

    def steps_of(self, node: Node) -> Dimension | None:
        """Return the number of steps of a scan, a node that applies one cell to every step of a sequence.

        Returns None for any other node.
        """
        players = {clone.name: clone.player for clone in self.clones}
        player = self.player_by_name.get(players.get(node.owner, node.owner))
        factory = player.factory if player is not None else node.operator
        if node.view is not None or factory is None or cell_of(factory) is None:
            return None
        return self.type_of(node.inputs[0]).shape[1]

    def players_above(self, port: Port) -> frozenset[str]:
        """Return the names of the players on which the value at this port depends.

        Paths through a clone do not count, because a clone passes no gradient.
        """
        found = reached([port.node], lambda name: self._sources(self.by_name[name]))
        return frozenset(node.owner for name in found if (node := self.by_name[name]).learned)

    def is_played_by_someone(self, port: Port) -> bool:
        """Whether the value at this port depends on a player. Paths through a clone do not count.

        The results for all nodes are computed once and cached.
        """
        return port.node in self._influenced

    def players_in(self, name: str) -> tuple[str, ...]:
        """Return the players of the brick `name`, in the order in which they are asked.

        If `name` is no brick, return `name` alone.
        """
        asked = (node for node in self.nodes if node.kind is Kind.PLAYER)
        inside = (node.owner for node in asked if any(use.brick == name for use in node.within))
        return tuple(dict.fromkeys(inside)) or (name,)

    @functools.cached_property
    def _influenced(self) -> frozenset[str]:
        # A flag, not the set of players: a set for each node would be quadratic in the length of a chain.
        found: set[str] = set()
        for node in self.nodes:
            if node.learned or any(name in found for name in self._sources(node)):
                found.add(node.name)
        return frozenset(found)

    @staticmethod
    def _sources(node: Node) -> tuple[str, ...]:
        """Return the names of the nodes to which the backward pass of `node` sends gradients: the nodes of its inputs.

        A clone sends no gradients.
        """
        return () if node.kind is Kind.CLONE else tuple(port.node for port in node.inputs)

    def __repr__(self) -> str:
        steps = {node.name: self.steps_of(node) for node in self.nodes}
        loops = {name: "" if each is None else f", a loop of {each!r} steps" for name, each in steps.items()}
        return "Q:\n" + "\n".join(f"  {node!r}{loops[node.name]}" for node in self.nodes)


def cell_of(factory: Factory) -> Factory | None:
    """Return the factory of the cell that a scan applies to every step; None if `factory` makes no scan."""
    while getattr(factory.target, "is_wrapper", False):  # the conversion to float64
        factory = factory.arguments[0]
    return factory.arguments[0] if getattr(factory.target, "is_scan", False) else None


def _refuse_unprintable_names(graph: QueryGraph) -> None:
    everyone = (*graph.players, *graph.oracles, *graph.clones, *graph.passes, *graph.nodes)
    for name in dict.fromkeys(each.name for each in everyone):
        fault = fault_of(name)
        if not fault and name.endswith("@agent"):
            fault = "ends in '@agent', as the state of an agent that lives apart from its player is called"
        if fault:
            raise GrammarError(
                f"name {name!r} of a Query graph {fault}; expected letters, digits and signs that can be printed. "
                "Choose another name."
            )


def _refuse_repeated_names(graph: QueryGraph) -> None:
    operators = [node.name for node in graph.nodes if node.kind in (Kind.OPERATOR, Kind.LOSS)]
    owners = [item.name for item in (*graph.players, *graph.oracles, *graph.clones)]
    for names in (operators + owners, [node.name for node in graph.nodes], [each.name for each in graph.passes]):
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            raise GrammarError(
                f"name {repeated[0]!r} is used twice; expected each player, oracle, operator and pass of a Query graph "
                "to have a name of its own. Rename one of them, or reuse the handle to ask the same one again."
            )


def _refuse_unknown_owners(graph: QueryGraph) -> None:
    questions = {(oracle.name, each.name) for oracle in graph.oracles for each in oracle.declaration.questions}
    owners = {
        Kind.PLAYER: {player.name for player in graph.players},
        Kind.CLONE: {clone.name for clone in graph.clones},
        Kind.ORACLE: {oracle.name for oracle in graph.oracles},
    }
    for clone in graph.clones:
        if clone.player not in owners[Kind.PLAYER]:
            raise GrammarError(
                f"clone {clone.name!r} is a copy of {clone.player!r}, which is no player of this graph; "
                f"expected one of {sorted(owners[Kind.PLAYER])}. Clone one of these."
            )
    for node in graph.nodes:
        if node.query_pass not in graph.cadences:
            raise GrammarError(
                f"node {node.name!r} belongs to pass {node.query_pass!r}, which is not declared; "
                f"expected one of {sorted(graph.cadences)}. Declare the pass with its cadence."
            )
        known = owners.get(node.kind)
        if known is not None and node.owner not in known:
            raise GrammarError(
                f"node {node.name!r} asks {node.kind} {node.owner!r}, which is not declared; "
                f"expected one of {sorted(known)}. Declare it before it is asked."
            )
        if node.kind is Kind.ORACLE and (node.owner, node.question) not in questions:
            raise GrammarError(
                f"oracle {node.owner!r} has no question {node.question!r}; "
                f"expected one of {sorted(q for owner, q in questions if owner == node.owner)}. Ask one of these."
            )


def refuse_conflicting_sizes(oracles: Sequence[NamedOracle]) -> None:
    """Raise GrammarError if two oracles declare different sizes for the same symbolic dimension."""
    declared: dict[str, tuple[str, int]] = {}
    for oracle in oracles:
        for symbol, size in oracle.declaration.sizes:
            other, expected = declared.setdefault(symbol, (oracle.name, size))
            if size != expected:
                raise GrammarError(
                    f"oracle {oracle.name!r} plays {symbol!r} of size {size}, but oracle {other!r} plays it of size "
                    f"{expected}; expected one size for one symbol. Give both the same size, or two symbols."
                )


def _refuse_bad_order(graph: QueryGraph) -> None:
    names, cadences = {node.name: node for node in graph.nodes}, graph.cadences
    seen: set[str] = set()
    for node in graph.nodes:
        for port in node.inputs:
            source = names.get(port.node)
            if source is None or not 0 <= port.index < len(source.outputs):
                raise GrammarError(
                    f"node {node.name!r} takes {port!r}, which no node of this graph plays; "
                    f"expected an output of one of {sorted(names)}. Add the node, or connect another output."
                )
            if port.node not in seen:
                raise GrammarError(
                    f"node {node.name!r} takes {port!r}, which is asked later or depends on {node.name!r} itself: a "
                    "cycle. Expected every input to be asked earlier in the round; carry the value over to the next "
                    "round through an oracle (a replay, a memory), or order the nodes by dependence."
                )
            if not cadences[node.query_pass].within(cadences[source.query_pass]):
                raise GrammarError(
                    f"node {node.name!r} of pass {node.query_pass!r} takes {port!r} of pass {source.query_pass!r}, "
                    f"which rests in some of its rounds; expected a pass that is played in all rounds of "
                    f"{node.query_pass!r}. Ask both in the same pass, or carry the value through an oracle."
                )
        seen.add(node.name)
