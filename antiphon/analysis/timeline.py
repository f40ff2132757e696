"""Timelines of the actions of each worker, planned from a schedule or recorded in a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.schedule import Schedule, project
from antiphon.coordinator.plan.steps import LocalAction, LocalStep, Part, Slot, Transfer, describe
from antiphon.coordinator.recording import Recording
from antiphon.transport.message import Edge, Phase


@dataclass(frozen=True)
class TimeSpan:
    """One action of one worker in a timeline, from the time `begin` to the time `end`.

    symbol: one or two letters for the kind of action.
    name: the name of the node, player, clone or value that the action concerns.
    text: the action in words.
    work: whether the worker computes; False if it sends or receives.
    round: the number of the round; -1 in a planned timeline.
    collects: whether the action waits for an all-reduce over replicas.
    delay: how many rounds late the action is played, if rounds overlap.
    """

    worker: str
    begin: float
    end: float
    phase: Phase
    symbol: str
    name: str
    text: str
    microbatch: int | None = None
    work: bool = True
    round: int = -1
    collects: bool = False
    delay: int = 0


@dataclass(frozen=True)
class Trip:
    """One message in a timeline. departs: when the source sends it. arrives: when the target has received it."""

    edge: Edge
    departs: float
    arrives: float


@dataclass(frozen=True)
class Timeline:
    """The actions of all workers (`spans`), ordered by their start, and the messages between workers (`trips`).

    unit: "step" (all steps are equally long, and messages take no time) or "ms". note: a remark for the reader.
    """

    title: str
    workers: tuple[str, ...]
    spans: tuple[TimeSpan, ...]
    trips: tuple[Trip, ...]
    unit: str
    note: str = ""

    def label(self, span: TimeSpan) -> str:
        """Return the symbol of an action, followed by the number of its micro-batch if the round has several.

        A planned action that is played d rounds late has -d at the end.
        """
        late = f"-{span.delay}" if span.delay and span.round < 0 else ""
        return f"{span.symbol}{'' if span.microbatch is None else span.microbatch}{late}"

    @property
    def end(self) -> float:
        """The time at which the last action ends; 0 if there are no actions."""
        return max((span.end for span in self.spans), default=0.0)

    def row(self, worker: str) -> tuple[TimeSpan, ...]:
        """Return the actions of one worker, ordered by their start."""
        return tuple(span for span in self.spans if span.worker == worker)

    def idle(self, worker: str) -> float:
        """Return the fraction of the timeline's total time, from 0 to 1, in which a worker does not compute."""
        busy = sum(span.end - span.begin for span in self.row(worker) if span.work)
        return 1 - busy / self.end if self.end else 0.0


def planned(schedule: Schedule, title: str = "", round: int | None = None) -> Timeline:
    """Compute the timeline of a schedule without running it: every step takes one time unit, and messages none.

    Each worker does its steps in the schedule's order, and waits for messages as in a run. Steps that compute nothing
    take no time: the first gradients, values that are read again, deliveries, slices and all-reduces of replicas.
    round: take only the steps of this round; None takes all steps.
    """
    return _Plan(schedule, round).draw(title)


class _Plan:
    """Computes a planned timeline: simulates the clock of each worker, and when each worker has each value."""

    def __init__(self, schedule: Schedule, round: int | None) -> None:
        self.schedule = schedule
        self.steps = [step for step in schedule.steps if round is None or step.when.active(round)]
        self.clock = dict.fromkeys(schedule.workers, 0.0)
        self.there: dict[tuple[Slot, str], float] = {}
        self.summed: dict[int, float] = {}
        self.spans: list[TimeSpan] = []
        self.trips: list[Trip] = []

    def draw(self, title: str) -> Timeline:
        for step in self.steps:
            if isinstance(step, Transfer):
                self._carry(step)
            else:
                self._play(step)
        spans = tuple(sorted(self.spans, key=lambda span: span.begin))
        note = "as planned: every step counts as equally long, messages take no time"
        if late := self.schedule.delay:
            note += f"; rounds overlap: steps marked -{late} belong to {late} round{'s' * (late > 1)} before"
        return Timeline(title, self.schedule.workers, spans, tuple(self.trips), "step", note)

    def _carry(self, step: Transfer) -> None:
        source, target = step.workers
        departs = self.there.get((step.slot, source), self.clock[source])
        if step.delay and step.phase is Phase.QUERY:
            departs = self.there.get((step.slot, source), 0.0)  # perhaps a value of an earlier turn
        self.clock[target] = max(self.clock[target], departs)
        self.there[step.slot, target] = departs
        self.trips.append(Trip(step.edge, departs, self.clock[target]))

    def _play(self, step: LocalStep) -> None:
        begin, length = self.clock[step.worker], _length(step)
        if isinstance(step, steps.Contribute):
            number = step.reduction.number
            self.summed[number] = max(begin, self.summed.get(number, 0.0))
        elif isinstance(step, steps.Collect):
            begin = max(begin, self.summed[step.reduction.number])
        self.clock[step.worker] = begin + length
        for slot in step.writes:
            self.there[slot, step.worker] = begin + length
        if length:
            self.spans.append(_span(step, step.worker, begin, begin + length))


def recorded(schedule: Schedule, recording: Recording, title: str = "") -> Timeline:
    """Return the timeline of rounds that were recorded in a run, in milliseconds since the recording began."""
    spans: list[TimeSpan] = []
    sent: dict[tuple[int, int], float] = {}
    taken: dict[tuple[int, int], tuple[Edge, float]] = {}
    for worker in schedule.workers:
        actions = project(schedule, worker)
        for mark in recording.marks.get(worker, ()):
            action = actions[mark.action]
            spans.append(_span(action, worker, mark.begin / 1e6, mark.end / 1e6, mark.round))
            if isinstance(action, steps.Send):
                sent[action.edge.number, mark.round] = mark.begin / 1e6
            elif isinstance(action, steps.Receive):
                taken[action.edge.number, mark.round] = action.edge, mark.end / 1e6
    trips = tuple(Trip(edge, sent[key], at) for key, (edge, at) in taken.items() if key in sent)
    spans.sort(key=lambda span: (span.begin, span.end))
    return Timeline(title, schedule.workers, tuple(spans), trips, "ms", _clocks(recording, trips))


def _clocks(recording: Recording, trips: Sequence[Trip]) -> str:
    if recording.one_clock:
        return "as recorded; all workers read one clock"
    backwards = max((trip.departs - trip.arrives for trip in trips), default=0.0)
    seen = f"some message seems to arrive {backwards:.3f} ms before it left" if backwards > 0 else "no message says so"
    return f"as recorded; the workers read several clocks, laid side by side by wall time, which may be off: {seen}"


def _span(action: LocalAction, worker: str, begin: float, end: float, round: int = -1) -> TimeSpan:
    symbol, name = _named(action)
    work = not isinstance(action, steps.Send | steps.Receive | steps.Contribute | steps.Collect)
    about = action.phase, symbol, name, describe(action), action.microbatch
    return TimeSpan(worker, begin, end, *about, work, round, isinstance(action, steps.Collect), action.delay)


def _named(action: LocalAction) -> tuple[str, str]:
    """Return (symbol of an action, name of the node, player, clone or value that the action concerns)."""
    symbol = _SYMBOLS[type(action)]
    match action:
        case steps.Respond(node=name, part=part):
            return symbol + _PARTS[part], name
        case steps.Query(node=name) | steps.Move(player=name) | steps.Install(player=name) | steps.Follow(clone=name):
            return symbol, name
        case steps.Send(slot=slot) | steps.Receive(slot=slot):
            return symbol, repr(slot)
        case _:
            takes = isinstance(action, steps.Contribute | steps.Accumulate) or not action.writes
            return symbol, repr((action.reads if takes else action.writes)[0])


_PARTS = {Part.WHOLE: "", Part.UPSTREAM: "↑", Part.OWN: "θ"}
_SYMBOLS = {
    steps.Query: "Q",
    steps.Respond: "R",
    steps.Move: "M",
    steps.Install: "I",
    steps.Follow: "F",
    steps.Cut: "÷",
    steps.Join: "∪",
    steps.Accumulate: "+",
    steps.Contribute: "Σ→",
    steps.Collect: "Σ",
    steps.Send: "→",
    steps.Receive: "←",
    steps.Vote: "?",
}


def _length(step: LocalStep) -> int:
    if isinstance(step, steps.Cut | steps.Join | steps.Accumulate | steps.Contribute | steps.Collect):
        return 0
    if not isinstance(step, steps.Respond):
        return 1
    # Not a seed (reads nothing), a delivery (writes nothing) or a tap (reads a value of Q): these compute nothing.
    return int(bool(step.reads and step.writes) and step.reads[0].phase is Phase.RESPONSE)
