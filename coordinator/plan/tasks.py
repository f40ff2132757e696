"""Lists the tasks of a round: which node computes which micro-batch where, and what must come before."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod

from antiphon.coordinator.plan.microbatches import Nodes
from antiphon.coordinator.plan.replicas import batch_of
from antiphon.coordinator.plan.step_order import StepOrder, Task
from antiphon.coordinator.plan.steps import Part, Share
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Kind, Node, Port
from antiphon.grammars.response import PARAMETERS, Product, ResponseNode, asked_by
from antiphon.transport.message import Phase


def tasks_of(
    grammar: Grammar,
    places: Mapping[Phase, Mapping[str, tuple[str, ...]]],
    separate: Nodes,
    microbatches: Sequence[Share],
    order: StepOrder,
) -> list[Task]:
    """Return the tasks of a round, each after the tasks that it needs.

    places: the workers of each node, by phase (QUERY: Query graph, RESPONSE: Response graph) and name; several workers
    for replicas. separate: the nodes that compute each micro-batch separately. microbatches: all micro-batches of the
    round, in order.
    A response task waits for all queries of its micro-batch; in the order GPIPE it waits for all queries of the round.
    """
    return _Tasks(grammar, places, separate, microbatches, order).found


class _Tasks:
    """Builds the list `found` of all tasks of a round.

    positions: the indices in `found` of the tasks of each phase, node and part, by micro-batch.
    """

    def __init__(
        self,
        grammar: Grammar,
        places: Mapping[Phase, Mapping[str, tuple[str, ...]]],
        separate: Nodes,
        microbatches: Sequence[Share],
        order: StepOrder,
    ) -> None:
        self.grammar, self.places, self.separate, self.order = grammar, places, separate, order
        self.microbatches = microbatches
        self.found: list[Task] = []
        self.asked: dict[str, dict[Share | None, int]] = defaultdict(dict)
        self.positions: dict[tuple[Phase, str, Part], dict[int | None, int]] = {}
        self.split = {node.name for node in grammar.response.nodes if self._is_split(node)}
        self.last = {node.of: node for node in grammar.response.nodes if isinstance(node, Product)}
        self.hops = self._hops()
        for node in grammar.query.nodes:
            self._query(node)
        for response in grammar.response.nodes:
            self._respond(response)

    def _query(self, node: Node) -> None:
        cost, limits = self._cost(node), self._limits(node.name)
        for microbatch in self._parts(Phase.QUERY, node.name):
            after = [each for port in node.inputs for each in self._makers(Phase.QUERY, port, microbatch)]
            after += self._earlier(node, microbatch)
            self._add(Phase.QUERY, node.name, Part.WHOLE, microbatch, after, cost, limits)

    def _earlier(self, node: Node, microbatch: Share | None) -> list[int]:
        """Return the positions of the latest queries to the oracle, player or clone of `node`, and record a new query.

        The new query is the next task that is added. It must come after the returned ones, so that queries to one
        oracle, player or clone keep the order of the Query graph.
        """
        asked = self.asked[node.owner]
        earlier = [at for each, at in asked.items() if microbatch is None or each in (None, microbatch)]
        asked[microbatch] = len(self.found)
        return earlier

    def _respond(self, node: ResponseNode) -> None:
        parts = (Part.UPSTREAM, Part.OWN) if node.name in self.split else (Part.WHOLE,)
        (asked,) = asked_by(node) or ("",)
        query = self.grammar.query.by_name.get(asked)
        products = bool(node.toward) + node.parameters if isinstance(node, Product) else 0
        cost = self._cost(query) * products / len(parts) if query else 0.0
        is_last = isinstance(node, Product) and self.last[node.of] is node
        for microbatch in self._parts(Phase.RESPONSE, node.name):
            made = [each for port in node.inputs for each in self._makers(Phase.RESPONSE, port, microbatch)]
            after = made + (self._makers(Phase.QUERY, Port(asked), microbatch) if asked else [])
            if not any(self.found[each].microbatch == microbatch for each in made):
                after += self._queries(microbatch)
            for part in parts:
                self._add(Phase.RESPONSE, node.name, part, microbatch, after, cost, of=asked if is_last else "")
                after = [len(self.found) - 1]  # OWN comes after UPSTREAM

    def _add(
        self,
        phase: Phase,
        node: str,
        part: Part,
        microbatch: Share | None,
        after: Sequence[int],
        cost: float,
        limits: tuple[int, int] | None = None,
        of: str = "",
    ) -> None:
        made = self.positions.setdefault((phase, node, part), {})
        previous = list(made.values())[-1:]  # a node computes its micro-batches in order
        made[microbatch.index if microbatch else None] = len(self.found)
        before = tuple(dict.fromkeys([*after, *previous]))
        worker = self.places[phase][node][0]
        self.found.append(Task(node, phase, part, microbatch, worker, before, cost, limits, of))

    def _parts(self, phase: Phase, node: str) -> Sequence[Share | None]:
        return self.microbatches if node in self.separate[phase] else (None,)

    def _makers(self, phase: Phase, port: Port, microbatch: Share | None) -> list[int]:
        """Return the positions of the tasks that make the value of `port`.

        microbatch: the micro-batch that a reader needs; None for a reader that needs all micro-batches.
        """
        part = Part.WHOLE
        if phase is Phase.RESPONSE and port.node in self.split:
            part = Part.OWN if port.index == PARAMETERS else Part.UPSTREAM
        made = self.positions[phase, port.node, part]
        if port.node not in self.separate[phase]:
            return [made[None]]
        return list(made.values()) if microbatch is None else [made[microbatch.index]]

    def _queries(self, microbatch: Share | None) -> list[int]:
        """Return the positions of the queries that the first responses of a micro-batch wait for.

        These are the queries of the micro-batch, and queries of the whole batch that read values of all micro-batches.
        In the order GPIPE they are all queries of the round.
        """
        queries = [(position, task) for position, task in enumerate(self.found) if task.phase is Phase.QUERY]
        if self.order is StepOrder.GPIPE:
            return [position for position, _ in queries]
        return [position for position, task in queries if task.microbatch == microbatch or self._reads_all(task)]

    def _reads_all(self, task: Task) -> bool:
        """Return whether a query computes the whole batch from values of every micro-batch."""
        sources = (port.node for port in self.grammar.query.by_name[task.node].inputs)
        return task.microbatch is None and any(each in self.separate[Phase.QUERY] for each in sources)

    def _is_split(self, node: ResponseNode) -> bool:
        if self.order is not StepOrder.ZERO_BUBBLE or not isinstance(node, Product) or not node.parameters:
            return False
        here = self.places[Phase.RESPONSE][node.name]
        readers = (
            each
            for each in self.grammar.response.nodes
            for port in each.inputs
            if port.node == node.name and port.index != PARAMETERS
        )
        return any(self.places[Phase.RESPONSE][each.name] != here for each in readers)

    def _limits(self, node: str) -> tuple[int, int] | None:
        """Return how many micro-batches of a Query graph node may have no response, and how many no complete response.

        The first limit is the number of workers on the longest path from the node to the end of the graph. The second
        limit is the largest first limit of any node. Return None if the node gets no response.
        """
        return (self.hops[node] + 1, max(self.hops.values()) + 1) if node in self.last else None

    def _hops(self) -> Mapping[str, int]:
        """Return for each Query graph node the most messages between workers on a path to the end of the graph."""
        places, found = self.places[Phase.QUERY], dict.fromkeys(self.grammar.query.by_name, 0)
        for node in reversed(self.grammar.query.nodes):
            for port in node.inputs:
                hop = places[port.node] != places[node.name]
                found[port.node] = max(found[port.node], found[node.name] + hop)
        return found

    def _cost(self, node: Node) -> float:
        """Return a rough number of operations that a node needs for one row of its batch."""
        sizes = self.grammar.query.sizes
        rows = max((batch_of(each, sizes) or 1 for each in node.outputs), default=1)
        numbers = sum(prod(each.sized(sizes)) for each in node.outputs) / rows
        if node.kind is not Kind.PLAYER:
            return numbers
        return numbers + sum(prod(each.shape) for each in self.grammar.query.player_by_name[node.owner].parameters)
