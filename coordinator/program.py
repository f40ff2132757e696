"""The program of one worker: it plays the actions of the worker in order, in every round."""

import time
from array import array
from collections import Counter
from collections.abc import Callable, MutableSequence, Sequence
from functools import reduce
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from antiphon.agents.shards import is_sharded
from antiphon.coordinator.brake import Brake
from antiphon.coordinator.devices import operator_on
from antiphon.coordinator.entries import Cursor, Entry, Play
from antiphon.coordinator.gauges import Gauges
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.moves import moves_of
from antiphon.coordinator.nonfinite import FiniteCheck, RoundCheck
from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.microbatches import fraction
from antiphon.coordinator.plan.steps import LocalAction, Part, Share, Slot, share_of_batch
from antiphon.coordinator.recording import Track, clock
from antiphon.coordinator.statistics import RoundTally, Skipped, WorkerStatistics, is_counted
from antiphon.coordinator.streams import begun, is_of_antiphon
from antiphon.coordinator.values import added, flat
from antiphon.grammars.query import Kind, Node
from antiphon.grammars.response import Deliver, Map, Product, Seed, Sum, Tap
from antiphon.grammars.when import Agenda
from antiphon.oracles.operator import aligned
from antiphon.transport.channel import Channel
from antiphon.transport.memory import Value

Values: TypeAlias = dict[int, Value]
Answer: TypeAlias = Callable[[Sequence[Tensor], int], tuple[Tensor, ...]]


class LocalProgram:
    """Plays the actions of one worker. Other threads may read `cursor`. `noted[0]` is set to each round that begins."""

    def __init__(
        self,
        assignment: Assignment,
        worker: str,
        actions: tuple[LocalAction, ...],
        hosted: Hosted,
        channel: Channel,
        keep: bool = False,
        beside: "LocalProgram | None" = None,
    ) -> None:
        """Compile the actions of `worker` into functions of the round.

        keep: keep all values until the end of the round, for `held`. Else a round with micro-batches drops each value
        after its last use. beside: a program of this worker with which this one shares the moves and the statistics.
        """
        self.worker, self._hosted, self._channel = worker, hosted, channel
        self._grammar, self._record = assignment.grammar, assignment.record
        self._values, self._running = Values(), Values()
        self._slots: dict[Slot, int] = {}
        self._parts: dict[int, tuple[Tensor, ...]] = {}
        self._uses: Counter[int] = Counter()
        self._unused: dict[int, int] = {}
        self._beside, self._gauges = beside, beside._gauges if beside else Gauges(assignment)
        moves = (beside._moves, []) if beside else moves_of(actions, assignment.agents, hosted.agent_of)
        (self._moves, self._joints), self._actions = moves, actions
        self.begin()
        self.finite = FiniteCheck(assignment, hosted, self._values, self._key, actions, beside and beside.finite)
        self._plays = [self.finite.checked(action, self._compile(action)) for action in actions]
        if not keep and any(action.microbatch is not None for action in actions):
            self._drop_early()
            self._unused.update(self._uses)
        if assignment.record:
            self._plays = [self._timed(position, play) for position, play in enumerate(self._plays)]
        self.cursor, self.noted = Cursor(worker, actions), cast(MutableSequence[int], [-1])
        self._agenda = Agenda(zip((action.when for action in actions), self.entries, strict=True))

    def play(self, first: int, rounds: int, brake: Brake) -> WorkerStatistics:
        """Play rounds `first` to `first + rounds - 1`, or fewer if `brake` stops them. Return statistics. Blocks.

        Raises what `RoundCheck.play` raises.
        """
        self.begin()
        check = RoundCheck([self.finite])
        with torch.no_grad():
            for round in range(first, first + rounds):
                if not brake.passes(round):
                    break
                self.noted[0] = round
                check.play(self._agenda.at(round), round)
                check.settle(round)
                self.finish_round()
        return self.end()

    @property
    def entries(self) -> list[Entry]:
        """All actions of the program, in order, to be played by `play_round`."""
        return [(self.cursor, position, play) for position, play in enumerate(self._plays)]

    def begin(self) -> None:
        """Begin a batch of rounds: replace the statistics by empty ones, and start to measure the time."""
        self._started, track = time.perf_counter(), Track(clock()) if self._record else None
        self._statistics = self._beside._statistics if self._beside else WorkerStatistics(self.worker, track=track)
        for joint in self._joints:
            joint.renew()

    def held(self) -> dict[Slot, Tensor]:
        """Return all values of the current round on this worker, by slot. `finish_round` drops these values."""
        return {slot: flat(self._values[key]) for slot, key in self._slots.items() if key in self._values}

    def finish_round(self) -> None:
        """End the current round: drop all of its values, and count the round."""
        self._values.clear()
        self._unused.update(self._uses)
        self._hosted.forget()
        self._statistics.rounds += 1

    def end(self) -> WorkerStatistics:
        """Wait until all sent messages have left, and return the statistics of the batch."""
        self.cursor.at = self.noted[0], -1
        self._channel.settle()
        self._statistics.reports = self._gauges.added(self._hosted.report())
        self._statistics.digests = self._hosted.digests()
        self._statistics.nonfinite = self.finite.taken()
        self._statistics.seconds = time.perf_counter() - self._started
        return self._statistics

    def _compile(self, action: LocalAction) -> Play:
        compilers: dict[type, Callable[[Any], Play]] = {  # Any: an action of the type that is the key
            steps.Query: self._query,
            steps.Respond: self._respond,
            steps.Send: self._send,
            steps.Receive: self._receive,
            steps.Move: self._move,
            steps.Install: self._install,
            steps.Follow: self._follow,
            steps.Cut: self._cut,
            steps.Join: self._join,
            steps.Accumulate: self._accumulate,
            steps.Contribute: self._contribute,
            steps.Collect: self._collect,
            steps.Vote: self.finite.vote,
        }
        return self._gauges.around(action, compilers[type(action)](action), lambda slot: self._values[self._key(slot)])

    def _drop_early(self) -> None:
        for position, action in enumerate(self._actions):
            slots = (action.slot,) if isinstance(action, steps.Send) else getattr(action, "reads", ())
            if keys := self._keys(slots):
                self._uses.update(keys)
                self._plays[position] = self._dropping(self._plays[position], keys)

    def _dropping(self, play: Play, keys: Sequence[int]) -> Play:
        values, unused = self._values, self._unused

        def dropping(round: int) -> None:
            play(round)
            for key in keys:
                unused[key] -= 1
                if not unused[key]:
                    values.pop(key, None)

        return dropping

    def _timed(self, position: int, play: Play) -> Play:
        def timed(round: int) -> None:
            began = time.perf_counter_ns()
            play(round)
            track = self._statistics.track
            assert track is not None  # `begin` made it
            track.marks.extend((round, position, began, time.perf_counter_ns()))

        return timed

    def _query(self, action: steps.Query) -> Play:
        node = self._grammar.query.by_name[action.node]
        values, microbatch = self._values, share_of_batch(action)
        answer = self._hosted.answer(node, microbatch)
        reads, writes = self._keys(action.reads), self._keys(action.writes)
        if node.kind is Kind.LOSS:
            answer = self._noted(node, answer, microbatch)
        if is_counted(node, action):
            answer = self._counted(node.name, answer)

        def play(round: int) -> None:
            for slot, value in zip(writes, answer([flat(values[slot]) for slot in reads], round), strict=True):
                values[slot] = value

        return play

    def _counted(self, node: str, answer: Answer) -> Answer:
        def counted(values: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
            self._statistics.queries[node] += 1
            return answer(values, round)

        return counted

    def _noted(self, node: Node, answer: Answer, microbatch: Share | None) -> Answer:
        """Return `answer`, wrapped so that each call also adds the loss to the statistics: one mean per round."""
        part, first = fraction(self._grammar, node, microbatch), microbatch is None or microbatch.index == 0

        def noted(values: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
            (value,) = answer(values, round)
            rounds, losses = self._statistics.losses.setdefault(node.name, (RoundTally(), array("d")))
            if first:
                rounds.append(round)
                losses.append(0.0)
            losses[-1] += (loss := float(value) * part)
            self.finite.losses += loss
            return (value,)

        return noted

    def _respond(self, action: steps.Respond) -> Play:
        node = self._grammar.response.by_name[action.node]
        values, reads, writes = self._values, self._keys(action.reads), self._keys(action.writes)
        microbatch = share_of_batch(action)
        match node:
            case Seed():
                weight = self._seed(node, microbatch)
                return lambda round: values.__setitem__(writes[0], weight)
            case Tap():
                return lambda round: values.__setitem__(writes[0], values[reads[0]])
            case Sum():
                return self._sum(action)
            case Map():
                operation = operator_on(node.operation, self._hosted.device)
                if not is_of_antiphon(node.operation):
                    operation = torch.enable_grad()(operation)
                return begun(self._hosted.begins_response(node, microbatch), self._combine(action, operation))
            case Product():
                return begun(self._hosted.begins_response(node, microbatch), self._product(action, node))
            case Deliver(player=player):
                hear = self._hosted.agent_of(player).hear
                return begun(self._hosted.begins_agent("hear", player), lambda round: hear(values[reads[0]]))

    def _seed(self, node: Seed, microbatch: Share | None) -> Tensor:
        loss, dtype = self._grammar.query.by_name[node.loss.node], self._grammar.query.type_of(node.loss).dtype
        weight = node.weight * fraction(self._grammar, loss, microbatch)
        return torch.full((), weight, dtype=dtype, device=self._hosted.device)

    def _sum(self, action: steps.Respond) -> Play:
        values, reads, (write,) = self._values, self._keys(action.reads), self._keys(action.writes)

        def play(round: int) -> None:
            # A message that this round lacks is left out. The fixed order makes rounding the same everywhere.
            values[write] = reduce(added, [values[slot] for slot in reads if slot in values])

        return play

    def _combine(self, action: steps.Respond, operation: Callable[..., Tensor]) -> Play:
        values, reads, (write,) = self._values, self._keys(action.reads), self._keys(action.writes)

        def play(round: int) -> None:
            messages = [values[slot] for slot in reads]
            if isinstance(messages[0], tuple) and is_sharded(messages[0][0]):
                values[write] = tuple(operation(*each) for each in zip(*messages, strict=True))
            else:
                values[write] = aligned(operation(*map(flat, messages)))

        return play

    def _product(self, action: steps.Respond, node: Product) -> Play:
        values, written = self._values, action.writes[0]
        box = self._hosted.gray_box(self._grammar.query.by_name[node.of], written.microbatch)
        reads = iter(self._keys(action.reads))
        places = [None if port is None else next(reads) for port in node.cotangents]
        toward = () if action.part is Part.OWN else node.toward
        parameters = node.parameters and action.part is not Part.UPSTREAM
        # A product is counted once: not again for its own part, and only for the first replica and micro-batch.
        first = all(part is None or part.index == 0 for part in (written.share, written.microbatch))
        writes, once = self._keys(action.writes), action.part is not Part.OWN and first

        def play(round: int) -> None:
            self._statistics.products[node.name] += once
            cotangents = [None if slot is None else flat(values[slot]) for slot in places]
            upstream, own = box.respond(cotangents, toward, parameters)
            for slot, value in zip(writes, upstream, strict=False):  # the last of `writes` may be the parameters'
                values[slot] = value
            if parameters:
                values[writes[-1]] = own

        return play

    def _send(self, action: steps.Send) -> Play:
        edge, slot, values, send = action.edge, self._key(action.slot), self._values, self._channel.send

        def play(round: int) -> None:
            message = values[slot]
            began = time.perf_counter()
            wire = send(edge, round, message)
            self._statistics.waiting += time.perf_counter() - began
            self._statistics.payload[edge.number] += edge.bytes
            self._statistics.wire[edge.number] += wire
            self._statistics.sent[edge.number].append(round)

        return play

    def _receive(self, action: steps.Receive) -> Play:
        edge, slot, values, receive = action.edge, self._key(action.slot), self._values, self._channel.receive

        def play(round: int) -> None:
            began = time.perf_counter()
            values[slot] = receive(edge, round)
            self._statistics.waiting += time.perf_counter() - began
            self._statistics.received[edge.number].append(round)

        return play

    def _cut(self, action: steps.Cut) -> Play:
        values, (read,), (write,) = self._values, self._keys(action.reads), self._keys(action.writes)
        part = action.writes[0].part
        assert part is not None  # a Cut always writes a part

        def play(round: int) -> None:
            whole = flat(values[read])
            first, behind = part.rows(whole.shape[0])
            values[write] = aligned(whole[first:behind])

        return play

    def _join(self, action: steps.Join) -> Play:
        values, reads, (write,) = self._values, self._keys(action.reads), self._keys(action.writes)

        def play(round: int) -> None:
            values[write] = aligned(torch.cat([flat(values[slot]) for slot in reads]))

        return play

    def _accumulate(self, action: steps.Accumulate) -> Play:
        values, (read,), running, ends = self._values, self._keys(action.reads), self._running, bool(action.writes)
        term = action.reads[0]
        total, first = self._key(term.total), term.microbatch is None or term.microbatch.index == 0

        def play(round: int) -> None:
            running[total] = values[read] if first else added(running[total], values[read])
            if ends:
                values[total] = running.pop(total)

        return play

    def _contribute(self, action: steps.Contribute) -> Play:
        number, slot, values, parts = action.reduction.number, self._key(action.reads[0]), self._values, self._parts

        def play(round: int) -> None:
            term = values[slot]
            began = time.perf_counter()
            if isinstance(term, tuple) and is_sharded(term[0]):
                parts[number] = term  # the operator has already summed it, shard by shard
            else:
                term = flat(term)
                self._statistics.wire[number] += self._channel.contribute(action.reduction, round, term)
                self._statistics.payload[number] += term.numel() * term.element_size()
            self._statistics.waiting += time.perf_counter() - began
            self._statistics.contributed[number].append(round)

        return play

    def _collect(self, action: steps.Collect) -> Play:
        number, slot, values, parts = action.reduction.number, self._key(action.writes[0]), self._values, self._parts

        def play(round: int) -> None:
            began = time.perf_counter()
            values[slot] = parts.pop(number) if number in parts else self._channel.collect(action.reduction, round)
            self._statistics.waiting += time.perf_counter() - began
            self._statistics.collected[number].append(round)

        return play

    def _move(self, action: steps.Move) -> Play:
        player, move = self._hosted.agent_of(action.player), self._moves[action.player]
        writes = self._keys(action.writes)

        def play(round: int) -> None:
            reason = self.finite.skipping or move(round)
            player.moves += bool(self.finite.skipping)  # as `install` counts, where the agent is on another worker
            if reason:
                skipped = self._statistics.skipped
                skipped[action.player] = Skipped(1, round, reason).after(skipped.get(action.player))
            self._statistics.moves[action.player].append(round)
            for slot in writes:
                self._values[slot] = tuple(parameter.detach() for parameter in player.parameters)

        return begun(self._hosted.begins_agent("agent", action.player), play)

    def _install(self, action: steps.Install) -> Play:
        values, (read,), player = self._values, self._keys(action.reads), self._hosted.players[action.player]
        return lambda round: player.install(values[read])

    def _follow(self, action: steps.Follow) -> Play:
        follow = self._hosted.clones[action.clone].follow
        return lambda round: follow()

    def _key(self, slot: Slot) -> int:
        # Slots are numbered, because hashing the slots themselves takes a twentieth of a small round.
        return self._slots.setdefault(slot, len(self._slots))

    def _keys(self, slots: Sequence[Slot]) -> tuple[int, ...]:
        return tuple(map(self._key, slots))
