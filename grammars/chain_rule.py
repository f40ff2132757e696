"""Derives the Response graph of the chain rule from a Query graph, and edits it to make other grammars."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

from antiphon.errors import BlackBoxError, GrammarError
from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.maps import negate
from antiphon.grammars.numbers import Count
from antiphon.grammars.objective import Objective
from antiphon.grammars.oracle import Box
from antiphon.grammars.query import Kind, Node, Port, QueryGraph
from antiphon.grammars.response import ResponseGraph
from antiphon.grammars.truncation import Truncation
from antiphon.grammars.typed import typed
from antiphon.grammars.writing import Message, ResponseDraft


@typed
@dataclass(frozen=True)
class Upstream:
    """The argument of an edit: a message (a gradient) about `value`, on its way to the node that computed the value.

    source: the node of the Query graph whose vector-Jacobian product sent the message. target: the node that computed
    `value`. response: the draft of the Response graph, in which an edit writes new nodes.
    """

    response: ResponseDraft
    message: Message
    source: Node
    target: Node
    value: Port

    def enters(self, owner: str) -> bool:
        """Whether the value that the message is about was computed by `owner`.

        owner: the name of a player, an oracle, an operator or a brick. For a brick, the message must come from outside:
        messages between the brick's own players do not enter it.
        """
        uses = {use for use in self.target.within if use.brick == owner}
        return self.target.owner == owner or not uses <= set(self.source.within)


Edit: TypeAlias = Callable[[Upstream], Message | None]
"""A function of an `Upstream` that returns the message to send instead, or None to cut the message."""

Answer: TypeAlias = Callable[[ResponseDraft], Message]
"""A function that writes a message about a value into the draft, and returns it.

The chain rule itself sends no such message."""


@typed
def chain_rule(
    query: QueryDraft | QueryGraph,
    objective: Objective,
    edit: Edit | Sequence[Edit] = (),
    answers: Mapping[Value, Answer] | None = None,
) -> ResponseGraph:
    """Derive the Response graph of backpropagation: walk the Query graph backwards from the losses of the objective.

    edit: functions that may change or cut each message. answers: functions that add further messages, by the value that
    each message is about.

    Each node gets a vector-Jacobian product. The product takes the sum of all messages about the node's outputs. It
    sends gradients to the node's player and to those inputs that depend on a player. A player that is asked several
    times receives the sum of its gradients. Sums are added in the order of the Query graph. Raises BlackBoxError if a
    gradient would have to pass a black box on its way to a player.
    """
    graph = query.graph() if isinstance(query, QueryDraft) else query
    edits = (edit,) if callable(edit) else tuple(edit)
    return _Walk(graph, edits, {value.port: answer for value, answer in (answers or {}).items()}).walk(objective)


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

    said: the messages so far about each port. heard: the messages so far to each player.
    """

    def __init__(self, query: QueryGraph, edits: Sequence[Edit], answers: Mapping[Port, Answer]) -> None:
        self.query, self.edits, self.answers = query, edits, answers
        self.draft = ResponseDraft(query)
        self.said: dict[Port, list[Message]] = {}
        self.heard: dict[str, list[Message]] = {player.name: [] for player in query.players}
        self.truncations = _truncations(query, edits)

    def walk(self, objective: Objective) -> ResponseGraph:
        for port in objective.losses:
            self.said.setdefault(port, []).append(self.draft.seed(port, objective.sign))
        for node in reversed(self.query.nodes):
            self._visit(node)
        for player, messages in self.heard.items():
            if messages:
                self.draft.deliver(player, self._sum(messages[::-1], f"sum for {player}"))
        return self.draft.graph()

    def _visit(self, node: Node) -> None:
        ports = [Port(node.name, index) for index in range(len(node.outputs))]
        for port in ports:
            if port in self.answers:
                self.said.setdefault(port, []).append(self.answers[port](self.draft))
        cotangents = [
            self._sum(self.said[port][::-1], f"sum at {port!r}") if port in self.said else None for port in ports
        ]
        if not any(cotangents) or not self.query.is_played_by_someone(ports[0]):
            return
        self._refuse_black_box(node)
        product = self.draft.product(node.name, *cotangents, truncation=self.truncations.get(node.owner))
        if node.kind is Kind.PLAYER:
            self.heard[node.owner].append(product.parameters)
        for index, value in enumerate(node.inputs):
            if self.query.is_played_by_someone(value) and self.query.type_of(value).has_gradient:
                self._tell(Upstream(self.draft, product.toward(index), node, self.query.by_name[value.node], value))

    def _tell(self, upstream: Upstream) -> None:
        message: Message | None = upstream.message
        for edit in self.edits:
            if message is None:
                return
            message = edit(Upstream(self.draft, message, upstream.source, upstream.target, upstream.value))
        if message is not None:
            self.said.setdefault(upstream.value, []).append(message)

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
