"""A grammar: a Query graph, a Response graph, an objective and a guarantee (essay, Definition 8)."""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.errors import GrammarError
from antiphon.grammars.factory import describe
from antiphon.grammars.guarantee import Guarantee, Loss, PlayerLoss
from antiphon.grammars.names import fault_of
from antiphon.grammars.objective import Objective, refuse_strangers
from antiphon.grammars.query import Kind, Node, Port, QueryGraph
from antiphon.grammars.response import Deliver, Map, Product, ResponseGraph, ResponseNode, Seed, Sum, Tap
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType
from antiphon.grammars.unsent import unsent


@typed
@dataclass(frozen=True)
class Grammar:
    """A Query graph, a Response graph, an objective and a guarantee. It contains no process, optimizer or device.

    Raises GrammarError, ShapeError or BlackBoxError if the types of the two graphs do not fit, if a player receives no
    message, if a node of the Response graph leads to no player, if no player influences the objective, or if a promise
    names no player of the Query graph.
    """

    name: str
    query: QueryGraph
    response: ResponseGraph
    objective: Objective
    guarantee: Guarantee = Guarantee()

    def __post_init__(self) -> None:
        _refuse_unprintable_names(self)
        _ = self.message_types
        _refuse_unheard_nodes(self)
        _refuse_deaf_players(self)
        _refuse_bad_objectives(self)
        _refuse_strange_promises(self)

    @functools.cached_property
    def message_types(self) -> Mapping[Port, EdgeType]:
        """The type of every message of the Response graph, by port."""
        return self.response.types(self.query)

    @functools.cached_property
    def signature(self) -> str:
        """The sha256 of the grammar's description as JSON.

        Two grammars with the same signature play the same rounds.
        """
        text = json.dumps(self.description, sort_keys=True, separators=(",", ":"), default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def description(self) -> dict[str, Any]:  # Any: JSON
        """The grammar's name, Query graph, Response graph, objective and guarantee, as data for JSON."""
        query, guarantee = self.query, self.guarantee
        return {
            "name": self.name,
            "query": [_describe_query_node(node) for node in query.nodes],
            "players": [[each.name, each.factory.description, each.part_of] for each in query.players],
            "oracles": [
                [oracle.name, oracle.declaration.factory.description, sorted(oracle.declaration.sizes)]
                for oracle in query.oracles
            ],
            "boxes": [[node.name, query.box_of(node)] for node in query.nodes if node.kind is Kind.ORACLE],
            "clones": [[c.name, c.player, c.soft, c.cadence.every, c.cadence.start] for c in query.clones],
            "passes": [[each.name, each.cadence.every, each.cadence.start] for each in query.passes],
            "response": [_describe_response_node(node) for node in self.response.nodes],
            "objective": repr(self.objective),
            "guarantee": [describe(promise) for promise in guarantee.promises],
        }

    def loss_of(self, player: str) -> Loss:
        """Return what a player minimises: the loss that the promises name, or its own terms of the objective."""
        return self.guarantee.loss_of(player) or self.objective.of(player)

    @functools.cached_property
    def held(self) -> frozenset[Port]:
        """The values that the objective or a promise holds fixed (`held=`): no gradient of that loss passes them."""
        losses = [self.objective, *(getattr(promise, "loss", None) for promise in self.guarantee.promises)]
        return frozenset(port for loss in losses if isinstance(loss, Objective) for port in loss.held)

    def _repr_svg_(self: Any) -> str:  # Any: type checkers read this file under two names
        """Return a picture of the grammar as SVG, which a notebook shows.

        Only this method imports `antiphon`, because `antiphon` imports this folder.
        """
        from antiphon import draw

        return draw(self).svg

    def __hash__(self) -> int:
        return hash(self.signature)

    def __repr__(self) -> str:
        head = f"grammar {self.name}: {self.objective!r}, guarantee {self.guarantee!r}"
        cuts = (f"  {each!r}" for each in unsent(self.query, self.response, self.objective))
        return "\n".join([head, repr(self.query), repr(self.response), *cuts])


def _plain(number: Any) -> Any:  # Any: a number of numpy's
    return number.item()


def _describe_query_node(node: Node) -> list[Any]:  # Any: JSON
    operator = "" if node.operator is None else node.operator.description
    inputs = [[port.node, port.index] for port in node.inputs]
    outputs = list(map(repr, node.outputs))
    view = [] if node.view is None else [describe(node.view)]
    return [node.name, node.kind, node.owner, node.question, operator, inputs, outputs, node.query_pass, *view]


def _describe_response_node(node: ResponseNode) -> list[Any]:  # Any: JSON
    head = [type(node).__name__, node.name, [[port.node, port.index] for port in node.inputs]]
    match node:
        case Seed():
            return [*head, [node.loss.node, node.loss.index], node.weight]
        case Tap():
            return [*head, [node.port.node, node.port.index]]
        case Product():
            places = [None if port is None else [port.node, port.index] for port in node.cotangents]
            truncated = [] if node.truncation is None else [repr(node.truncation)]
            return [*head, node.of, places, node.toward, node.parameters, *truncated]
        case Map():
            return [*head, node.operation.description]
        case Sum():
            return head
        case Deliver():
            return [*head, node.player]


def _refuse_unprintable_names(grammar: Grammar) -> None:
    for name in (grammar.name, *(node.name for node in grammar.response.nodes)):
        if fault_of(name):
            raise GrammarError(
                f"name {name!r}, of a grammar or of a node of its Response graph, {fault_of(name)}; expected letters, "
                "digits and signs that can be printed. Choose another name."
            )


def _refuse_unheard_nodes(grammar: Grammar) -> None:
    response = grammar.response
    heard = response.ancestors(*(delivery.name for delivery in response.deliveries))
    unheard = [node.name for node in response.nodes if node.name not in heard]
    if unheard:
        raise GrammarError(
            f"response node {unheard[0]!r} of grammar {grammar.name!r} reaches no player; expected a path from every "
            "node of R to a delivery. Deliver it, or leave it out (a `ResponseDraft` does)."
        )


def _refuse_deaf_players(grammar: Grammar) -> None:
    hearing = {delivery.player for delivery in grammar.response.deliveries}
    deaf = [player.name for player in grammar.query.players if player.name not in hearing]
    if deaf:
        raise GrammarError(
            f"player {deaf[0]!r} of grammar {grammar.name!r} receives no message, so it could never move; expected a "
            f"delivery to every player, found deliveries to {sorted(hearing)}. Deliver a message to it, or declare "
            "it as an oracle."
        )


def _refuse_bad_objectives(grammar: Grammar) -> None:
    own = [getattr(promise, "loss", None) for promise in grammar.guarantee.promises]
    for objective in (grammar.objective, *(loss for loss in own if isinstance(loss, Objective))):
        if not objective.losses:
            raise GrammarError(
                f"grammar {grammar.name!r} has no loss in its objective; expected at least one. Name one."
            )
        _refuse_bad_losses(grammar, objective)
        refuse_strangers(objective, grammar.query, f"grammar {grammar.name!r}")


def _refuse_strange_promises(grammar: Grammar) -> None:
    known = grammar.query.player_by_name
    for promise in grammar.guarantee.promises:
        loss = getattr(promise, "loss", None)
        asked = loss.players if isinstance(loss, PlayerLoss) else ()
        if strange := [name for name in (*promise.players, *asked) if name not in known]:
            raise GrammarError(
                f"grammar {grammar.name!r} promises something to {strange[0]!r}, which is none of its "
                f"players; expected one of {list(known)}. Correct the promise."
            )


def _refuse_bad_losses(grammar: Grammar, objective: Objective) -> None:
    query = grammar.query
    for port in objective.losses:
        node = query.by_name.get(port.node)
        if node is None or node.kind is not Kind.LOSS:
            found = "nothing" if node is None else f"a {node.kind}"
            raise GrammarError(
                f"the objective of grammar {grammar.name!r} is {port!r}, which is {found} in the Query graph; "
                "expected a loss. Declare it with `loss`."
            )
        if not query.is_played_by_someone(port):
            raise GrammarError(
                f"no player influences {port!r}, the objective of grammar {grammar.name!r}; expected a path from some "
                "player to it. Connect a player's output to this loss."
            )
