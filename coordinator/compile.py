"""From a grammar and a placement to a schedule."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from antiphon.coordinator.placement import Placement, locate
from antiphon.coordinator.schedule import (
    Follow,
    Install,
    Move,
    Part,
    Query,
    Respond,
    Schedule,
    Slot,
    Step,
    Transfer,
)
from antiphon.coordinator.when import ALWAYS, When
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import response_homes
from antiphon.grammars.maps import add
from antiphon.grammars.query import Node, Port
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, ResponseNode, Seed, Tap
from antiphon.grammars.types import EdgeType, Order
from antiphon.transport.message import Edge, Phase


class StepOrder(StrEnum):
    """How a round's responses are ordered. The numbers are the same."""

    PLAIN = "plain"
    SPLIT = "split"


def compile_schedule(
    grammar: Grammar,
    placement: Placement,
    cadences: Mapping[str, Cadence] | None = None,
    order: StepOrder = StepOrder.PLAIN,
) -> Schedule:
    """Every query in Q's order, every response in R's, every move, every clone.

    cadences: the moves' cadence per player; every round for the others. A transfer stands right before the step that
    first needs its value on that worker. A response that nobody's cadence needs in a round is not computed in it.
    order: PLAIN computes both outputs of operator `*` at once; SPLIT what goes upstream to another worker first, and
    the player's own part while others work on that (the essay's two outputs, section 2).
    """
    return _Compiler(grammar, placement, cadences or {}, order).compile()


class _Compiler:
    """Appends steps in order, and a transfer wherever a step needs a value that its worker doesn't hold yet."""

    def __init__(
        self, grammar: Grammar, placement: Placement, cadences: Mapping[str, Cadence], order: StepOrder
    ) -> None:
        self.grammar, self.placement, self.order = grammar, placement, order
        self.worker_of = dict(locate(grammar, placement))
        self.place_of = response_homes(grammar, self.worker_of, {**placement.host_of, **placement.agent_of})
        self.steps: list[Step] = []
        self.writer: dict[Slot, str] = {}
        self.held: set[tuple[Slot, str]] = set()
        self.when: dict[Slot, When] = {}
        self.numbers = itertools.count()
        self.response_when = _response_times(grammar, cadences)

    def compile(self) -> Schedule:
        for node in self.grammar.query.nodes:
            self._query(node)
        for node in self.grammar.response.nodes:
            self._respond(node)
        for delivery in self.grammar.response.deliveries:
            self._move(delivery)
        for clone in self.grammar.query.clones:
            worker = self.placement.host_of[clone.player]
            self.steps.append(Follow(clone.name, worker, When.at(clone.cadence)))
        return Schedule(self.grammar.signature, self.placement.names, tuple(self.steps))

    def _query(self, node: Node) -> None:
        worker, when = self.worker_of[node.name], When.at(self.grammar.query.cadences[node.query_pass])
        reads = tuple(Slot(Phase.QUERY, port) for port in node.inputs)
        writes = tuple(Slot(Phase.QUERY, Port(node.name, index)) for index in range(len(node.outputs)))
        self._append(Query(node.name, worker, reads, writes, when))

    def _respond(self, node: ResponseNode) -> None:
        when = self.response_when[node.name]
        reads = tuple(Slot(Phase.RESPONSE, port) for port in node.inputs)
        if isinstance(node, Tap):
            reads = (Slot(Phase.QUERY, node.port),)
        step = Respond(node.name, self.place_of[node.name], reads, _written(node), when)
        for part in self._split(step, node):
            self._append(part)

    def _split(self, step: Respond, node: ResponseNode) -> tuple[Respond, ...]:
        if not isinstance(node, Product) or not node.parameters or not self._awaited_elsewhere(step):
            return (step,)
        *upstream, own = step.writes
        return (
            replace(step, writes=tuple(upstream), part=Part.UPSTREAM),
            replace(step, writes=(own,), part=Part.OWN),
        )

    def _awaited_elsewhere(self, step: Respond) -> bool:
        upstream = {slot.port for slot in step.writes if slot.port.index != PARAMETERS}
        readers = (node for node in self.grammar.response.nodes if upstream.intersection(node.inputs))
        return self.order is StepOrder.SPLIT and any(self.place_of[reader.name] != step.worker for reader in readers)

    def _move(self, delivery: Deliver) -> None:
        player, when = delivery.player, self.response_when[delivery.name]
        home, agent = self.placement.host_of[player], self.placement.agent_of.get(delivery.player)
        if agent is None:
            self.steps.append(Move(player, home, (), when))
            return
        slot = Slot(Phase.MOVE, Port(player, PARAMETERS))
        self._append(Move(player, agent, (slot,), when))
        self._append(Install(player, home, (slot,), when))

    def _append(self, step: Query | Respond | Move | Install) -> None:
        for slot in step.reads:
            self._bring(slot, step.worker)
        self.steps.append(step)
        for slot in step.writes:
            self.writer[slot], self.when[slot] = step.worker, step.when
            self.held.add((slot, step.worker))

    def _bring(self, slot: Slot, worker: str) -> None:
        if (slot, worker) in self.held:
            return
        self.held.add((slot, worker))
        edge = self._edge(slot, self.writer[slot], worker)
        self.steps.append(Transfer(edge, slot, self.when[slot]))

    def _edge(self, slot: Slot, source: str, target: str) -> Edge:
        kind = self._type(slot)
        shape = kind.sized(self.grammar.query.sizes)
        return Edge(
            number=next(self.numbers),
            name=f"{slot!r} -> {target}",
            source=source,
            target=target,
            phase=slot.phase,
            order=kind.order,
            dtype=kind.dtype,
            shape=shape,
        )

    def _type(self, slot: Slot) -> EdgeType:
        match slot.phase:
            case Phase.QUERY:
                return self.grammar.query.type_of(slot.port)
            case Phase.RESPONSE:
                return self.grammar.message_types[slot.port]
            case Phase.MOVE:
                return self.grammar.query.player_by_name[slot.port.node].space.of_order(Order.ZEROTH)


def _written(node: ResponseNode) -> tuple[Slot, ...]:
    match node:
        case Deliver():
            return ()
        case Product():
            indices = [*node.toward, *([PARAMETERS] if node.parameters else [])]
            return tuple(Slot(Phase.RESPONSE, Port(node.name, index)) for index in indices)
        case _:
            return (Slot(Phase.RESPONSE, Port(node.name)),)


def _response_times(grammar: Grammar, cadences: Mapping[str, Cadence]) -> Mapping[str, When]:
    """When each node of R is computed: its passes play, and some player that it leads to moves."""
    nodes = grammar.response.nodes
    playing: dict[str, When] = {}
    for node in nodes:
        playing[node.name] = _playing(grammar, node, playing)
    needed: dict[str, When | None] = dict.fromkeys((node.name for node in nodes), None)
    for node in reversed(nodes):
        own = When.at(cadences.get(node.player, Cadence())) if isinstance(node, Deliver) else needed[node.name]
        needed[node.name] = own
        for port in node.inputs:
            before = needed[port.node]
            needed[port.node] = own if before is None else before | (own or ALWAYS)
    return {node.name: playing[node.name] & (needed[node.name] or ALWAYS) for node in nodes}


def _playing(grammar: Grammar, node: ResponseNode, playing: Mapping[str, When]) -> When:
    query = grammar.query
    match node:
        case Seed(loss=port) | Tap(port=port):
            return When.at(query.cadences[query.by_name[port.node].query_pass])
        case Product():
            when = When.at(query.cadences[query.by_name[node.of].query_pass])
        case _:
            when = ALWAYS
    inputs = [playing[port.node] for port in node.inputs]
    if isinstance(node, Map) and node.operation.target is add:
        either = inputs[0]
        for other in inputs[1:]:
            either = either | other
        return either
    for other in inputs:
        when = when & other
    return when
