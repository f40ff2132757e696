"""Derives the Response graph of the chain rule from a Query graph, and edits it to make other grammars."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, final

from antiphon.errors import BlackBoxError, GrammarError
from antiphon.grammars.arrived import Arrived
from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.maps import negate
from antiphon.grammars.numbers import Count, told
from antiphon.grammars.objective import Objective, Term, refuse_strangers
from antiphon.grammars.oracle import Box
from antiphon.grammars.query import Kind, Node, Port, QueryGraph
from antiphon.grammars.response import ResponseGraph
from antiphon.grammars.score_function import Scores, refuse_pathless
from antiphon.grammars.truncation import Truncation
from antiphon.grammars.typed import typed
from antiphon.grammars.ways import Ways
from antiphon.grammars.writing import Message, ResponseDraft


@dataclass(frozen=True)
class Upstream:
    """The argument of an edit: a message (a gradient) about `value`, on its way to the node that computed the value.

    source: the node of the Query graph whose vector-Jacobian product sent the message. target: the node that computed
    `value`. response: the draft of the Response graph, in which an edit writes new nodes. arrived: the gradients that
    have arrived at other values; `arrived[value]` is a message.
    """

    response: ResponseDraft
    message: Message
    source: Node
    target: Node
    value: Port
    arrived: Arrived

    @property
    def cotangent(self) -> Message:
        """The gradient that arrived at the output of `source`, before the product of `source` made `message` of it."""
        return self.arrived.at(self.source)

    def enters(self, owner: str) -> bool:
        """Whether the value that the message is about was computed by `owner`.

        owner: the name of a player, an oracle, an operator or a brick. For a brick, the message must come from outside:
        messages between the brick's own players do not enter it. Raises GrammarError for a name that the Query graph
        does not have.
        """
        return self._crosses(owner, self.target, self.source)

    def leaves(self, owner: str) -> bool:
        """Whether the message was sent by `owner`: by its vector-Jacobian product. owner, errors: as for `enters`."""
        return self._crosses(owner, self.source, self.target)

    def _crosses(self, owner: str, inner: Node, outer: Node) -> bool:
        known = self.response.query.owners
        if owner not in known:
            raise GrammarError(
                f"an edit is about {owner!r}, which the Query graph does not have; expected a player, an oracle, an "
                f"operator or a brick, one of {sorted(known)}. Name one of these."
            )
        uses = {use for use in inner.within if use.brick == owner}
        return inner.owner == owner or not uses <= set(outer.within)


@dataclass(frozen=True)
class Delivery:
    """The argument of an edit of a delivery: what a player receives from one vector-Jacobian product of its own.

    message: the gradient of the player's parameters in one use of the player, one vector. source: that use, a node of
    the Query graph. response, arrived: as in `Upstream`.
    """

    response: ResponseDraft
    message: Message
    source: Node
    arrived: Arrived

    @property
    def player(self) -> str:
        """The name of the player."""
        return self.source.owner

    @property
    def cotangent(self) -> Message:
        """The gradient that arrived at the output of `source`, as in `Upstream`."""
        return self.arrived.at(self.source)


Edit: TypeAlias = Callable[[Upstream], Message | None]
"""A function of an `Upstream` that returns the message to send instead, or None to cut the message."""

DeliveryEdit: TypeAlias = Callable[[Delivery], Message | None]
"""A function of a `Delivery` that returns the message that the player receives instead, or None for no message."""

Answer: TypeAlias = Callable[[ResponseDraft], Message]
"""A function that writes a message about a value into the draft, and returns it.

The chain rule itself sends no such message."""


@typed
def chain_rule(
    query: QueryDraft | QueryGraph,
    objective: Objective,
    edit: Edit | Sequence[Edit] = (),
    answers: Mapping[Value, Answer] | None = None,
    delivery: DeliveryEdit | Sequence[DeliveryEdit] = (),
) -> ResponseGraph:
    """Derive the Response graph of backpropagation: walk the Query graph backwards from the losses of the objective.

    edit: functions that may change or cut each message to the node that computed a value. answers: functions that add
    further messages, by the value that each message is about. delivery: functions that may change or cut what a player
    receives from each product of its own.

    Each node gets a vector-Jacobian product. The product takes the sum of all messages about the node's outputs. It
    sends gradients to the node's player and to those inputs that depend on a player. If the terms of the objective
    belong to different players, or hold different values fixed, a node gets a product for each group of terms whose
    gradients have different ways from there. A player that is asked several times receives the sum of its gradients.
    Sums are added in the order of the Query graph. Raises BlackBoxError if a gradient would have to pass a black box on
    its way to a player, GrammarError for an edit that returns no message.
    """
    graph = query.graph() if isinstance(query, QueryDraft) else query
    refuse_strangers(objective, graph, "this chain rule")
    further = {value.port: answer for value, answer in (answers or {}).items()}
    return _Walk(graph, _edits(edit), further, _edits(delivery)).walk(objective)


@typed
@final
@dataclass(frozen=True)
class Truncated:
    """An edit that changes no message, but how a scan's product is taken: by truncated backpropagation through time.

    owner: the name of a player whose module is a scan, or of a brick of such players.
    """

    owner: str
    truncation: Truncation

    def __call__(self, upstream: Upstream) -> Message:
        """Return the message unchanged."""
        return upstream.message


@typed
def truncated(owner: str, *, through: Count, every: Count) -> Edit:
    """Return an edit by which errors flow back through the last `through` steps of a scan only, every `every` steps.

    This is BPTT(h; h') of Williams and Peng (1990), with h = `through` and h' = `every`. owner: the name of a player
    whose module is a scan. The gradient is exact if `through` is at least the number of steps. Raises GrammarError if
    `through` is smaller than `every`.
    """
    return Truncated(owner, Truncation(through, every))


class _Walk:
    """One walk backwards through a Query graph, which collects the messages (gradients).

    said: the messages so far about each port, by the number of their way. heard: the messages so far to each player.
    """

    def __init__(
        self,
        query: QueryGraph,
        edits: Sequence[Edit],
        answers: Mapping[Port, Answer],
        deliveries: Sequence[DeliveryEdit],
    ) -> None:
        self.query, self.edits, self.answers, self.deliveries = query, edits, answers, deliveries
        self.draft, self.arrived = ResponseDraft(query), Arrived()
        self.scores = Scores(query, self.draft, edits)
        self.ways = Ways(query, frozenset(self.scores.density))
        self.everywhere = self.ways.of(Term(()))
        self.said: dict[Port, dict[int, list[Message]]] = {}
        self.heard: dict[str, list[Message]] = {player.name: [] for player in query.players}
        self.truncations = _truncations(query, edits)

    def walk(self, objective: Objective) -> ResponseGraph:
        for term in objective.terms:
            ways = self.ways.of(term)
            for port in term.losses:
                self._say(port, ways.get(port, 0), self.draft.seed(port, term.sign))
            for port, message in self.scores.messages(term, ways):
                self._say(port, ways[port], message)
        self.scores.refuse_unheard(self.said)
        for node in reversed(self.query.nodes):
            self._visit(node)
        for player, messages in self.heard.items():
            if messages:
                self.draft.deliver(player, self._sum(messages[::-1], f"sum for {player}"))
        return self.draft.graph()

    def _say(self, port: Port, way: int, message: Message) -> None:
        self.said.setdefault(port, {}).setdefault(way, []).append(message)

    def _visit(self, node: Node) -> None:
        ports = [Port(node.name, index) for index in range(len(node.outputs))]
        for port in ports:
            if port in self.answers:
                self._say(port, self.everywhere[port], self.answers[port](self.draft))
        for way in dict.fromkeys(way for port in ports for way in self.said.get(port, {})):
            if way:
                self._multiply(node, way, {port: self._said_about(port, way) for port in ports})

    def _said_about(self, port: Port, way: int) -> Message | None:
        messages = self.said.get(port, {}).get(way)
        return self._sum(messages[::-1], f"sum at {port!r}") if messages else None

    def _multiply(self, node: Node, way: int, cotangents: Mapping[Port, Message | None]) -> None:
        """Add the product of a node with the messages about its outputs, and send on what it makes.

        way: the number of the way of these messages.
        """
        self._refuse_black_box(node)
        self.arrived.put(cotangents)
        truncation = self.truncations.get(node.owner) if node.view is None else None
        product = self.draft.product(node.name, *cotangents.values(), truncation=truncation)
        if self.ways[way].heard:
            found = _edited(Delivery(self.draft, product.parameters, node, self.arrived), self.deliveries)
            self.heard[node.owner] += [] if found is None else [found]
        for index, (value, further) in enumerate(zip(node.inputs, self.ways[way].inputs, strict=True)):
            target, message = self.query.by_name[value.node], product.toward(index)
            if further and self.query.type_of(value).has_gradient:
                found = _edited(Upstream(self.draft, message, node, target, value, self.arrived), self.edits)
                if found is not None:
                    self._say(value, further, found)
                if found == message and cotangents[Port(node.name)] is not None:
                    refuse_pathless(self.query, node)
            elif further:
                refuse_pathless(self.query, target)

    def _sum(self, messages: Sequence[Message], name: str) -> Message:
        return self.draft.sum(*messages, name=name)

    def _refuse_black_box(self, node: Node) -> None:
        if self.query.box_of(node) is Box.BLACK:
            players = sorted(self.query.players_above(Port(node.name)))
            raise BlackBoxError(
                f"the chain rule needs a gradient of {node.question!r} from oracle {node.owner!r} on the way to player "
                f"{players[0]!r}; expected a gray box, but it is a black box and answers values only. "
                f"Cut it (`edit=cut_into({node.owner!r})`), or let a player estimate the gradient."
            )


def _edits(edits: Any) -> tuple[Any, ...]:  # Any: one edit or a sequence of edits, of either kind
    return (edits,) if callable(edits) else tuple(edits)


def _edited(sent: Any, edits: Sequence[Any]) -> Message | None:  # Any: an Upstream or a Delivery, and its edits
    """Return the message that several edits, each after the other, make of the message that was sent."""
    for edit in edits:
        found = edit(sent)
        if found is None:
            return None
        if not isinstance(found, Message):
            name = getattr(edit, "__qualname__", repr(edit))
            raise GrammarError(
                f"edit {name!r} returned {told(found)} for the message {sent.message.port!r} of "
                f"{sent.source.name!r}; expected a message of its `response`, or None to cut it. Return "
                "`upstream.message` to leave it unchanged."
            )
        sent = replace(sent, message=found)
    return sent.message


def _truncations(query: QueryGraph, edits: Sequence[Edit]) -> Mapping[str, Truncation]:
    """Return the truncation of each player that an edit truncates. Raises GrammarError for an unknown player."""
    found: dict[str, Truncation] = {}
    for edit in edits:
        if isinstance(edit, Truncated):
            players = query.players_in(edit.owner)
            found |= dict.fromkeys(players, edit.truncation)
            if strange := [player for player in players if player not in query.player_by_name]:
                raise GrammarError(
                    f"an edit truncates {strange[0]!r}, which is no player of this Query graph; expected one of "
                    f"{sorted(query.player_by_name)}, or a brick of them. Correct the name."
                )
    return found


@typed
def cut_into(owner: str) -> Edit:
    """Return an edit that cuts every message about a value that `owner` computed.

    owner: the name of a player, an oracle, an operator or a brick.
    """
    return lambda upstream: None if upstream.enters(owner) else upstream.message


@typed
def cut_from(owner: str) -> Edit:
    """Return an edit that cuts every message that `owner` sends about its inputs. Its own parameters still learn.

    owner: the name of a player, an oracle, an operator or a brick.
    """
    return lambda upstream: None if upstream.leaves(owner) else upstream.message


@typed
def cut_at(value: Value) -> Edit:
    """Return an edit that cuts every message about this value. Messages about other outputs of the same owner stay."""
    return lambda upstream: None if upstream.value == value.port else upstream.message


@typed
def negate_into(owner: str) -> Edit:
    """Return an edit that changes the sign of every message about a value that `owner` computed.

    owner: the name of a player, an oracle, an operator or a brick.
    """

    def edit(upstream: Upstream) -> Message:
        if not upstream.enters(owner):
            return upstream.message
        return upstream.response.map(negate, upstream.message, name=f"minus, into {owner}")

    return edit


@typed
def freeze_at(value: Value) -> DeliveryEdit:
    """Return an edit of a delivery: the player that computed this value does not learn from this use of it.

    Gradients still pass through the player to its inputs. The player's other uses do not change. Raises GrammarError,
    when the Response graph is written, if no player computed the value.
    """

    def edit(delivery: Delivery) -> Message | None:
        node = delivery.response.query.by_name.get(value.port.node)
        if node is None or node.kind is not Kind.PLAYER:
            found = "nobody of the Query graph" if node is None else f"the {node.kind} {node.owner!r}"
            raise GrammarError(
                f"freeze_at was given {value!r}, which {found} computed; expected a value that a player computed, "
                "since only players learn. Pass what the player's handle returned."
            )
        return None if delivery.source.name == node.name else delivery.message

    return edit
