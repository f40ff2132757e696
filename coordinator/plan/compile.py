"""Compiles a grammar and a placement to a schedule."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.microbatches import in_microbatches, read_whole, refuse_coupled
from antiphon.coordinator.plan.placement import Placement, locate
from antiphon.coordinator.plan.replicas import applies_to_parts, batch_of, divided
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.shardable import refuse_unshardable, undelivered
from antiphon.coordinator.plan.staleness import Staleness, ages, overlapping
from antiphon.coordinator.plan.step_order import StepOrder, Task, arranged
from antiphon.coordinator.plan.steps import VOTE, LocalStep, Part, Query, Respond, Share, Slot, Step
from antiphon.coordinator.plan.tasks import tasks_of
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import response_homes
from antiphon.grammars.maps import Linearity
from antiphon.grammars.playing import query_rounds, response_rounds
from antiphon.grammars.query import Node, Port
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, ResponseNode, Sum, Tap
from antiphon.grammars.types import EdgeType, Order
from antiphon.grammars.when import ALWAYS, When
from antiphon.transport.message import Edge, Phase, Reduction


def compile_schedule(
    grammar: Grammar,
    placement: Placement,
    cadences: Mapping[str, Cadence] | None = None,
    order: StepOrder = StepOrder.GPIPE,
    microbatches: int = 1,
    staleness: Staleness = 0,
    vote: bool = False,
) -> Schedule:
    """Return the schedule of a round: queries and responses in the given order, then moves, then updates of clones.

    cadences: the rounds in which each player moves; every round by default. A transfer stands directly before the step
    that first needs its value on the receiving worker. A response is left out in rounds in which no player needs it.
    microbatches: number of slices of the batch that are queried and responded to separately. The gradients are those of
    the whole batch. staleness: how many rounds old the parameters of queries are, for all passes or by pass. vote:
    whether all workers vote, after the responses of a round, on whether the round is skipped.
    Raises PlacementError for a batch that cannot be divided among micro-batches and replicas.
    """
    return _Compiler(grammar, placement, cadences or {}, order, microbatches, staleness).compile(vote)


class _Compiler:
    """Builds the list of steps of a round.

    If a worker lacks a value that a step needs, a transfer is added before the step.
    A node that is divided among replicas becomes one step on each replica. shares: for each value of such a node, the
    workers that hold a part of the value. terms: the values whose parts must be added; the parts of all other values
    are concatenated.
    A node that computes each micro-batch separately (`separate`) becomes one step per micro-batch. totals: the messages
    that must be added up over the micro-batches.
    """

    def __init__(
        self,
        grammar: Grammar,
        placement: Placement,
        cadences: Mapping[str, Cadence],
        order: StepOrder,
        microbatches: int,
        staleness: Staleness,
    ) -> None:
        self.grammar, self.placement, self.order, self.staleness = grammar, placement, order, staleness
        self.ages = ages(grammar, placement, staleness)
        self.worker_of = dict(locate(grammar, placement))
        self.place_of = response_homes(grammar, self.worker_of, {**placement.host_of, **placement.agent_of})
        self.divided = divided(grammar, placement, microbatches)
        refuse_unshardable(grammar, placement, self.divided)
        self.microbatches = [Share(index, microbatches) for index in range(microbatches)]
        self.separate = in_microbatches(grammar, placement, microbatches)
        refuse_coupled(grammar, placement, self.divided, self.separate[Phase.QUERY], microbatches)
        self.totals = {
            slot
            for slot in read_whole(grammar, self.separate[Phase.RESPONSE])
            if batch_of(grammar.message_types[slot.port], grammar.query.sizes) is None
        }
        self.steps: list[Step] = []
        self.writer: dict[Slot, str] = {}
        self.shares: dict[Slot, tuple[str, ...]] = {}
        self.terms: set[Slot] = set()
        self.reductions: dict[Slot, Reduction] = {}
        self.held: set[tuple[Slot, str]] = set()
        self.when: dict[Slot, When] = {}
        self.next_number = 0
        self.query_when, self.response_when = query_rounds(grammar.query), response_rounds(grammar, cadences)

    def compile(self, vote: bool) -> Schedule:
        query, response = self.grammar.query.by_name, self.grammar.response.by_name
        tasks = overlapping(self.grammar, self._tasks(), self.staleness)
        delay = max((task.delay for task in tasks), default=0)
        deliveries: list[Respond] = []
        made: dict[int, list[Step]] = {}
        order = arranged(tasks, self.order)
        for position in sorted(order, key=lambda each: tasks[each].delay):  # the steps of one round in order
            task, first = tasks[position], len(self.steps)
            if task.phase is Phase.QUERY:
                self._query(query[task.node], task.microbatch)
            else:
                deliveries += self._respond(response[task.node], task)
            made[position] = self.steps[first:]
        for step in deliveries:
            self._append(step)
        if vote:
            self._vote()
        for delivery in self.grammar.response.deliveries:
            self._move(delivery)
        for clone in self.grammar.query.clones:
            for worker in self._replicas(clone.player):
                self.steps.append(steps.Follow(clone.name, worker=worker, when=When.at(clone.cadence)))
        groups = tuple(group for group in self.placement.replicas_of.values() if len(group) > 1)
        if delay:
            self._overlap([(tasks[each].delay, made[each]) for each in order], delay)
        return Schedule(self.grammar.signature, self.placement.names, tuple(self.steps), groups)

    def _overlap(self, groups: Sequence[tuple[int, Sequence[Step]]], delay: int) -> None:
        """Put the steps of all tasks into the order in which they are played, each with its delay.

        groups: the delay and the steps of each task, in that order. Steps that belong to no task, or that were moved
        behind all tasks, stay at the end, and get the delay `delay`.
        """
        of_tasks = {id(step) for _, made in groups for step in made}
        ends = next(position for position, step in enumerate(self.steps) if id(step) not in of_tasks)
        last = {id(step) for step in self.steps[ends:]}
        found = [replace(step, delay=late) for late, made in groups for step in made if id(step) not in last]
        self.steps = [*found, *(replace(step, delay=delay) for step in self.steps[ends:])]

    def _vote(self) -> None:
        """Append the vote on whether the round is skipped, and move all deliveries to players behind it."""
        nodes = self.grammar.response.by_name
        delivers = [each for each in self.steps if isinstance(each, Respond) and isinstance(nodes[each.node], Deliver)]
        self.steps = [each for each in self.steps if each not in delivers]
        votes = {worker: Slot(Phase.RESPONSE, Port(worker, VOTE)) for worker in self.placement.names}
        first, result = self.placement.names[0], Slot(Phase.RESPONSE, Port("", VOTE))
        for worker, slot in votes.items():
            self._append(steps.Vote(worker=worker, when=ALWAYS, writes=(slot,)))
        self._append(steps.Vote(worker=first, when=ALWAYS, reads=tuple(votes.values()), writes=(result,)))
        for worker in votes:
            self._append(steps.Vote(worker=worker, when=ALWAYS, reads=(result,)))
        self.steps += delivers

    def _tasks(self) -> list[Task]:
        query = {name: self.divided.get(name, (worker,)) for name, worker in self.worker_of.items()}
        places = {name: (worker,) for name, worker in self.place_of.items()}
        products = (node for node in self.grammar.response.nodes if isinstance(node, Product))
        response = places | {node.name: query[node.of] for node in products}
        return tasks_of(
            self.grammar,
            {Phase.QUERY: query, Phase.RESPONSE: response},
            self.separate,
            self.microbatches,
            self.order,
        )

    def _query(self, node: Node, microbatch: Share | None) -> None:
        when, age = self.query_when[node.name], self.ages.get(node.name)
        reads = tuple(self._at(Slot(Phase.QUERY, port), microbatch) for port in node.inputs)
        ports = [Port(node.name, index) for index in range(len(node.outputs))]
        writes = tuple(Slot(Phase.QUERY, port, microbatch=microbatch) for port in ports)
        if node.name not in self.divided:
            self._append(Query(node.name, age, worker=self.worker_of[node.name], when=when, reads=reads, writes=writes))
            return
        group = self.divided[node.name]
        for share, worker in _members(group):
            own = tuple(replace(slot, share=share) for slot in writes)
            asked = self._shares_of(reads, share)
            self._append(Query(node.name, age, worker=worker, when=when, reads=asked, writes=own))
        self._note(writes, group, when)

    def _respond(self, node: ResponseNode, task: Task) -> tuple[Respond, ...]:
        """Append the steps of a node of the Response graph to the schedule, and return ().

        The steps of a delivery to several replicas are returned instead. They wait for all-reduces, so the caller
        appends them after all other responses.
        """
        when, microbatch = self.response_when[node.name], task.microbatch
        reads = tuple(self._at(Slot(Phase.RESPONSE, port), microbatch) for port in node.inputs)
        if isinstance(node, Tap):
            reads = (self._at(Slot(Phase.QUERY, node.port), microbatch),)
        if isinstance(node, Deliver) and len(group := self._receivers(node.player)) > 1:
            if reads[0] in self.terms:
                self._contribute(reads[0])
            elif node.player in self.placement.sharded:
                raise undelivered(node)
            return tuple(Respond(node.name, worker=worker, when=when, reads=reads) for worker in group)
        writes = tuple(replace(slot, microbatch=microbatch) for slot in _written(node, task.part))
        group = self._dividers(node, reads)
        if not group:
            step = Respond(node.name, task.part, worker=self.place_of[node.name], when=when, reads=reads, writes=writes)
            self._append(step)
            self._accumulate(step)
            return ()
        for share, worker in _members(group):
            own = tuple(replace(slot, share=share) for slot in writes)
            shares = self._shares_of(reads, share)
            step = Respond(node.name, task.part, worker=worker, when=when, reads=shares, writes=own)
            self._append(step)
            self._accumulate(step)
        self._note(writes, group, when)
        terms = {slot for slot in writes if self._batch(slot) is None}
        totals = {slot.total for slot in terms if slot.total in self.totals}
        self._note(tuple(totals), group, when)
        self.terms |= terms | totals
        return ()

    def _accumulate(self, step: Respond) -> None:
        """Append steps that add the messages of `step`, from one micro-batch, to the sums over all micro-batches."""
        for slot in step.writes:
            if slot.microbatch is None or slot.whole.total not in self.totals:
                continue
            writes = (slot.total,) if slot.microbatch.index == slot.microbatch.of - 1 else ()
            self._append(steps.Accumulate(worker=step.worker, when=step.when, reads=(slot,), writes=writes))

    def _at(self, slot: Slot, microbatch: Share | None) -> Slot:
        """Return the slot that a step for `microbatch` reads: the micro-batch's slice of the value if it has one."""
        is_slice = self._batch(slot) is not None or slot.port.node in self.separate[slot.phase]
        return replace(slot, microbatch=microbatch) if is_slice else slot

    def _dividers(self, node: ResponseNode, reads: Sequence[Slot]) -> tuple[str, ...]:
        """Return the workers that each compute a part of this Response graph node; () if one worker computes it."""
        if isinstance(node, Product):
            return self.divided.get(node.of, ())
        if not isinstance(node, Tap | Sum | Map):
            return ()
        kinds = {(len(self.shares.get(slot, ())), slot in self.terms) for slot in reads}
        if len(kinds) > 1 or kinds.pop()[0] < 2 or self._needs_all_shards(node, reads):
            return ()
        if isinstance(node, Map) and not applies_to_parts(self.grammar, node):
            return ()
        return self.shares[reads[0]]

    def _needs_all_shards(self, node: ResponseNode, reads: Sequence[Slot]) -> bool:
        """Return whether `node` is a function (`Map`) that needs the gradients of all shards of a player at once."""
        sharded = bool(self.placement.sharded) and reads[0] in self.terms
        return sharded and isinstance(node, Map) and node.linear is not Linearity.NUMBERS

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

    def _append(self, step: LocalStep) -> None:
        for slot in step.reads:
            self._bring(slot, step.worker)
        self.steps.append(step)
        for slot in step.writes:
            self.when[slot] = step.when
            self.held.add((slot, step.worker))
            if not isinstance(step, steps.Join):  # each worker joins the parts itself
                self.writer[slot] = step.worker

    def _bring(self, slot: Slot, worker: str) -> None:
        if (slot, worker) in self.held:
            return
        if slot in self.shares and slot in self.terms:
            self._sum(slot)
        elif slot not in self.writer:
            parts = self._parts(slot)
            if parts:
                self._append(steps.Join(worker=worker, when=self._when(parts[0]), reads=parts, writes=(slot,)))
            else:
                self._cut(slot)
        if (slot, worker) not in self.held:
            self.held.add((slot, worker))
            edge = self._edge(slot, self.writer[slot], worker)
            self.steps.append(steps.Transfer(edge, slot, self.when[slot]))

    def _parts(self, slot: Slot) -> tuple[Slot, ...]:
        """Return the slots of a value's parts, per replica or micro-batch; () if the value is not made in parts."""
        if slot in self.shares:
            return tuple(replace(slot, share=share) for share, _ in _members(self.shares[slot]))
        if slot.part is None and slot.port.node in self.separate[slot.phase]:
            return tuple(replace(slot, microbatch=each) for each in self.microbatches)
        return ()

    def _cut(self, slot: Slot) -> None:
        """Append the step that cuts the value of `slot` out of a larger value, on the worker that makes that value."""
        parent = slot.parent
        if parent not in self.writer and not self._parts(parent):
            self._cut(parent)
        self._append(steps.Cut(worker=self._maker(parent), when=self._when(parent), reads=(parent,), writes=(slot,)))

    def _maker(self, slot: Slot) -> str:
        """Return the worker that makes a value.

        For a value that is made in parts, return the worker of the first part.
        """
        return self.writer[slot] if slot in self.writer else self._maker(self._parts(slot)[0])

    def _when(self, slot: Slot) -> When:
        return self.when[slot] if slot in self.when else self._when(self._parts(slot)[0])

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
        """Append the steps of the all-reduce that adds a value over its replicas. All replicas then hold equal bits."""
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
        return shape if self._batch(slot) is None else slot.shape(shape)

    def _shares_of(self, reads: Sequence[Slot], share: Share) -> tuple[Slot, ...]:
        """Return the slots that one replica reads: its own part of each divided value, and all other values whole."""
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
        if slot.port.index == VOTE:
            return EdgeType((), torch.float32)
        match slot.phase:
            case Phase.QUERY:
                return self.grammar.query.type_of(slot.port)
            case Phase.RESPONSE:
                return self.grammar.message_types[slot.port]
            case Phase.MOVE:
                return self.grammar.query.player_by_name[slot.port.node].space.of_order(Order.ZEROTH)


def _members(group: Sequence[str]) -> list[tuple[Share, str]]:
    return [(Share(index, len(group)), worker) for index, worker in enumerate(group)]


def _written(node: ResponseNode, part: Part) -> tuple[Slot, ...]:
    match node:
        case Deliver():
            return ()
        case Product():
            upstream = () if part is Part.OWN else node.toward
            own = (PARAMETERS,) if node.parameters and part is not Part.UPSTREAM else ()
            return tuple(Slot(Phase.RESPONSE, Port(node.name, index)) for index in (*upstream, *own))
        case _:
            return (Slot(Phase.RESPONSE, Port(node.name)),)
