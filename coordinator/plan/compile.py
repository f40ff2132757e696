"""Compiles a grammar and a placement to a schedule."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.placement import Placement, locate
from antiphon.coordinator.plan.replicas import batch_of, divided, refuse_nonlinear
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.shardable import refuse_unshardable, undelivered
from antiphon.coordinator.plan.steps import Part, Query, Respond, Share, Slot, Step
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import response_homes
from antiphon.grammars.maps import Linearity
from antiphon.grammars.playing import query_rounds, response_rounds
from antiphon.grammars.query import Node, Port
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, ResponseNode, Sum, Tap
from antiphon.grammars.types import EdgeType, Order
from antiphon.grammars.when import When
from antiphon.transport.message import Edge, Phase, Reduction


class StepOrder(StrEnum):
    """The order of a round's responses (see `compile_schedule`). The order does not change the results."""

    PLAIN = "plain"
    SPLIT = "split"


def compile_schedule(
    grammar: Grammar,
    placement: Placement,
    cadences: Mapping[str, Cadence] | None = None,
    order: StepOrder = StepOrder.PLAIN,
) -> Schedule:
    """Compile the steps of a round: all queries in Q's order, responses in R's order, moves, then updates of clones.

    cadences: the rounds in which each player moves; every round by default. A transfer stands directly before the step
    that first needs its value on that worker. A response is left out in rounds in which no player needs it.
    order: PLAIN computes both outputs of operator `*` at once. SPLIT first computes the output that goes upstream to
    another worker. The player's own gradient is computed while that worker continues (the essay's two outputs, section
    2).
    """
    return _Compiler(grammar, placement, cadences or {}, order).compile()


class _Compiler:
    """Appends the steps of a round in order. If a worker lacks a value that its step needs, a transfer comes first.

    A node that is divided among replicas becomes one step on each replica. `shares`: the workers that hold the shares
    of each value of such a node. `terms`: those of these values whose shares must be added; others are joined.
    """

    def __init__(
        self, grammar: Grammar, placement: Placement, cadences: Mapping[str, Cadence], order: StepOrder
    ) -> None:
        self.grammar, self.placement, self.order = grammar, placement, order
        self.worker_of = dict(locate(grammar, placement))
        self.place_of = response_homes(grammar, self.worker_of, {**placement.host_of, **placement.agent_of})
        self.divided = divided(grammar, placement)
        refuse_unshardable(grammar, placement, self.divided)
        self.steps: list[Step] = []
        self.writer: dict[Slot, str] = {}
        self.shares: dict[Slot, tuple[str, ...]] = {}
        self.terms: set[Slot] = set()
        self.reductions: dict[Slot, Reduction] = {}
        self.held: set[tuple[Slot, str]] = set()
        self.when: dict[Slot, When] = {}
        self.next_number = 0
        self.readers: dict[Port, list[ResponseNode]] = {}
        for reader in grammar.response.nodes:
            for port in reader.inputs:
                self.readers.setdefault(port, []).append(reader)
        self.query_when, self.response_when = query_rounds(grammar.query), response_rounds(grammar, cadences)

    def compile(self) -> Schedule:
        for node in self.grammar.query.nodes:
            self._query(node)
        deliveries = [step for node in self.grammar.response.nodes for step in self._respond(node)]
        for step in deliveries:
            self._append(step)
        for delivery in self.grammar.response.deliveries:
            self._move(delivery)
        for clone in self.grammar.query.clones:
            for worker in self._replicas(clone.player):
                self.steps.append(steps.Follow(clone.name, worker=worker, when=When.at(clone.cadence)))
        groups = tuple(group for group in self.placement.replicas_of.values() if len(group) > 1)
        return Schedule(self.grammar.signature, self.placement.names, tuple(self.steps), groups)

    def _query(self, node: Node) -> None:
        when = self.query_when[node.name]
        reads = tuple(Slot(Phase.QUERY, port) for port in node.inputs)
        writes = tuple(Slot(Phase.QUERY, Port(node.name, index)) for index in range(len(node.outputs)))
        if node.name not in self.divided:
            self._append(Query(node.name, worker=self.worker_of[node.name], when=when, reads=reads, writes=writes))
            return
        group = self.divided[node.name]
        for share, worker in _members(group):
            own = tuple(replace(slot, share=share) for slot in writes)
            self._append(Query(node.name, worker=worker, when=when, reads=self._shares_of(reads, share), writes=own))
        self._note(writes, group, when)

    def _respond(self, node: ResponseNode) -> tuple[Respond, ...]:
        """Append the steps of a node of R to the schedule. Return the steps of a delivery to replicas instead.

        The caller appends the returned steps after all responses, because they wait for sums over replicas.
        """
        when = self.response_when[node.name]
        reads = tuple(Slot(Phase.RESPONSE, port) for port in node.inputs)
        if isinstance(node, Tap):
            reads = (Slot(Phase.QUERY, node.port),)
        if isinstance(node, Deliver) and len(group := self._receivers(node.player)) > 1:
            if reads[0] in self.terms:
                self._contribute(reads[0])
            elif node.player in self.placement.sharded:
                raise undelivered(node)
            return tuple(Respond(node.name, worker=worker, when=when, reads=reads) for worker in group)
        writes = _written(node)
        group = self._dividers(node, reads)
        if not group:
            step = Respond(node.name, worker=self.place_of[node.name], when=when, reads=reads, writes=writes)
            for part in self._split(step, node):
                self._append(part)
            return ()
        for share, worker in _members(group):
            own = tuple(replace(slot, share=share) for slot in writes)
            step = Respond(node.name, worker=worker, when=when, reads=self._shares_of(reads, share), writes=own)
            for part in self._split(step, node):
                self._append(part)
        self._note(writes, group, when)
        self.terms |= {slot for slot in writes if self._batch(slot) is None}
        return ()

    def _dividers(self, node: ResponseNode, reads: Sequence[Slot]) -> tuple[str, ...]:
        """Return the workers that each compute a share of this node of R; empty if one worker computes it alone."""
        if isinstance(node, Product):
            return self.divided.get(node.of, ())
        if not (isinstance(node, Tap | Sum) or (isinstance(node, Map) and node.linear)):
            return ()
        kinds = {(len(self.shares.get(slot, ())), slot in self.terms) for slot in reads}
        if len(kinds) > 1 or kinds.pop()[0] < 2 or self._needs_all_shards(node, reads):
            return ()
        if isinstance(node, Map):
            refuse_nonlinear(node, list(map(self._type, reads)), self.grammar.query.sizes)
        return self.shares[reads[0]]

    def _needs_all_shards(self, node: ResponseNode, reads: Sequence[Slot]) -> bool:
        """Return whether a node is a map that needs all parameters' gradients, and each replica holds only a shard."""
        sharded = bool(self.placement.sharded) and reads[0] in self.terms
        return sharded and isinstance(node, Map) and node.linear is not Linearity.NUMBERS

    def _split(self, step: Respond, node: ResponseNode) -> tuple[Respond, ...]:
        if not isinstance(node, Product) or not node.parameters or not self._awaited_elsewhere(step):
            return (step,)
        *upstream, own = step.writes
        return (
            replace(step, writes=tuple(upstream), part=Part.UPSTREAM),
            replace(step, writes=(own,), part=Part.OWN),
        )

    def _awaited_elsewhere(self, step: Respond) -> bool:
        upstream = [slot.port for slot in step.writes if slot.port.index != PARAMETERS]
        readers = (reader for port in upstream for reader in self.readers.get(port, ()))
        return self.order is StepOrder.SPLIT and any(self._place(reader, step) != step.worker for reader in readers)

    def _place(self, reader: ResponseNode, step: Respond) -> str:
        """Return the worker that computes `reader`, a node of R that reads the values of `step`."""
        group = self.divided.get(reader.of, ()) if isinstance(reader, Product) else ()
        share = step.writes[0].share
        return group[share.index] if share and len(group) == share.of else self.place_of[reader.name]

    def _move(self, delivery: Deliver) -> None:
        player, when = delivery.player, self.response_when[delivery.name]
        agent = self.placement.agent_of.get(delivery.player)
        if agent is None:
            self.steps += [steps.Move(player, worker=worker, when=when) for worker in self._replicas(player)]
            return
        slot = Slot(Phase.MOVE, Port(player, PARAMETERS))
        self._append(steps.Move(player, worker=agent, when=when, writes=(slot,)))
        for worker in self._replicas(player):
            self._append(steps.Install(player, worker=worker, when=when, reads=(slot,)))

    def _append(self, step: Query | Respond | steps.Move | steps.Install | steps.Cut | steps.Join) -> None:
        for slot in step.reads:
            self._bring(slot, step.worker)
        self.steps.append(step)
        for slot in step.writes:
            self.when[slot] = step.when
            self.held.add((slot, step.worker))
            if not isinstance(step, steps.Join):  # each worker joins the shares itself
                self.writer[slot] = step.worker

    def _bring(self, slot: Slot, worker: str) -> None:
        if (slot, worker) in self.held:
            return
        if slot.share is not None and slot not in self.writer:
            self._cut(slot)
        elif slot in self.shares and slot in self.terms:
            self._sum(slot)
        elif slot in self.shares:
            shares = tuple(replace(slot, share=share) for share, _ in _members(self.shares[slot]))
            self._append(steps.Join(worker=worker, when=self.when[slot], reads=shares, writes=(slot,)))
        if (slot, worker) not in self.held:
            self.held.add((slot, worker))
            edge = self._edge(slot, self.writer[slot], worker)
            self.steps.append(steps.Transfer(edge, slot, self.when[slot]))

    def _cut(self, slot: Slot) -> None:
        whole = slot.whole
        at = self.writer[whole] if whole in self.writer else self.shares[whole][0]
        self._append(steps.Cut(worker=at, when=self.when[whole], reads=(whole,), writes=(slot,)))

    def _contribute(self, slot: Slot) -> None:
        if slot in self.reductions:
            return
        group, kind, when = self.shares[slot], self._type(slot), self.when[slot]
        number, name = self._number(len(group) ** 2), f"{slot!r} over {', '.join(group)}"
        reduction = Reduction(number, name, group, slot.phase, kind.order, kind.dtype, self._shape(slot))
        self.reductions[slot] = reduction
        for share, worker in _members(group):
            term = replace(slot, share=share)
            self.steps.append(steps.Contribute(reduction, worker=worker, when=when, reads=(term,)))

    def _sum(self, slot: Slot) -> None:
        """Append the contributions to a sum, and a `Collect` on every replica. All replicas then hold equal bits."""
        if slot in self.writer:
            return
        self._contribute(slot)
        group = self.shares[slot]
        for worker in group:
            self.steps.append(steps.Collect(self.reductions[slot], worker=worker, when=self.when[slot], writes=(slot,)))
            self.held.add((slot, worker))
        self.writer[slot] = group[0]

    def _edge(self, slot: Slot, source: str, target: str) -> Edge:
        kind, shape = self._type(slot), self._shape(slot)
        return Edge(self._number(1), f"{slot!r} -> {target}", source, target, slot.phase, kind.order, kind.dtype, shape)

    def _number(self, count: int) -> int:
        first, self.next_number = self.next_number, self.next_number + count
        return first

    def _shape(self, slot: Slot) -> tuple[int, ...]:
        shape = self._type(slot).sized(self.grammar.query.sizes)
        if slot.share is None or slot.whole in self.terms:
            return shape
        return slot.share.shape(shape)

    def _shares_of(self, reads: Sequence[Slot], share: Share) -> tuple[Slot, ...]:
        """Return the slots that one replica reads: its share of a batch or of a sum, and other values as a whole."""
        divided = (self._batch(slot) is not None or slot in self.terms for slot in reads)
        return tuple(
            replace(slot, share=share) if is_divided else slot for slot, is_divided in zip(reads, divided, strict=True)
        )

    def _note(self, writes: Sequence[Slot], group: tuple[str, ...], when: When) -> None:
        for slot in writes:
            self.shares[slot], self.when[slot] = group, when

    def _batch(self, slot: Slot) -> int | None:
        return batch_of(self._type(slot), self.grammar.query.sizes)

    def _replicas(self, player: str) -> tuple[str, ...]:
        return self.placement.replicas_of[self.placement.host_of[player]]

    def _receivers(self, player: str) -> tuple[str, ...]:
        agent = self.placement.agent_of.get(player)
        return self._replicas(player) if agent is None else (agent,)

    def _type(self, slot: Slot) -> EdgeType:
        match slot.phase:
            case Phase.QUERY:
                return self.grammar.query.type_of(slot.port)
            case Phase.RESPONSE:
                return self.grammar.message_types[slot.port]
            case Phase.MOVE:
                return self.grammar.query.player_by_name[slot.port.node].space.of_order(Order.ZEROTH)


def _members(group: Sequence[str]) -> list[tuple[Share, str]]:
    return [(Share(index, len(group)), worker) for index, worker in enumerate(group)]


def _written(node: ResponseNode) -> tuple[Slot, ...]:
    match node:
        case Deliver():
            return ()
        case Product():
            indices = [*node.toward, *([PARAMETERS] if node.parameters else [])]
            return tuple(Slot(Phase.RESPONSE, Port(node.name, index)) for index in indices)
        case _:
            return (Slot(Phase.RESPONSE, Port(node.name)),)
