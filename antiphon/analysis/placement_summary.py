"""Summarise a placement: the players on each worker, its machine and resources, and the traffic between workers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from antiphon.columns import aligned
from antiphon.coordinator.plan.placement import Placement, Precision, Strategy, WorkerResources
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import Contribute
from antiphon.coordinator.traffic import planned
from antiphon.deploy.bundles import amounts, in_ray_terms
from antiphon.experiments.experiment import Experiment
from antiphon.grammars.playing import steady
from antiphon.transport.message import Edge, Phase


class Carries(StrEnum):
    """The kind of data that one worker sends to another."""

    VALUES = "values"
    DERIVATIVES = "derivatives"
    PARAMETERS = "parameters"


@dataclass(frozen=True)
class PlacedWorker:
    """A worker of a placement, together with its replicas.

    replicas: names of the worker and its replicas.
    hosts: names of the players, oracles and losses on the worker.
    agents: names of the players whose agents are on this worker, apart from the player.
    machine: the address of the machine; "" if the placement names none.
    asks: resources and settings of each replica, in words.
    summed: bytes per round that each replica contributes to all-reduces over the replicas.
    """

    replicas: tuple[str, ...]
    hosts: tuple[str, ...]
    agents: tuple[str, ...]
    machine: str
    asks: tuple[str, ...]
    summed: float = 0.0

    @property
    def contents(self) -> list[str]:
        """The names of the players, oracles, losses and agents on the worker, in words."""
        return [*self.hosts, *(f"agent of {player}" for player in self.agents)]

    @property
    def name(self) -> str:
        """The worker's name, with the number of replicas if there are several."""
        first, *others = self.replicas
        return f"{first} × {1 + len(others)}" if others else first


@dataclass(frozen=True)
class Stream:
    """The traffic from one worker to another: messages and bytes on average per round. Replicas count as one worker.

    carries: the kind of data.
    """

    source: str
    target: str
    carries: Carries
    messages: float
    bytes: float


@dataclass(frozen=True)
class PlacementSummary:
    """All workers of a placement, and all traffic between them."""

    title: str
    strategy: Strategy
    logical_gpus: bool
    workers: tuple[PlacedWorker, ...]
    streams: tuple[Stream, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the whole placement, for a report: number of workers, strategy, logical GPUs."""
        count = sum(len(worker.replicas) for worker in self.workers)
        how = {
            Strategy.PACK: "on as few machines as hold them",
            Strategy.SPREAD: "on as many machines as there are",
            Strategy.STRICT_SPREAD: "on a machine each",
        }[self.strategy]
        logical = ("GPUs are counted, and not used",) if self.logical_gpus else ()
        return (f"{count} worker{'s' if count > 1 else ''} {how} ({self.strategy}); bytes a round", *logical)


def placement_summary(experiment: Experiment) -> PlacementSummary:
    """Summarise the placement of an experiment: its workers, and the traffic between them.

    The traffic is an average over one period of the grammar's cadences, computed from the schedule without a run.
    """
    grammar = experiment.build()
    agents, placement = experiment.agents(grammar), experiment.placed(grammar)
    rounds = steady(grammar, {player: agent.cadence for player, agent in agents.items()})
    schedule = experiment.schedule(grammar, agents)
    first = {each: group[0] for group in placement.replicas_of.values() for each in group}
    summed = _summed(schedule, rounds, first)
    workers = tuple(_placed(placement, worker, summed[worker]) for worker, _ in placement.workers)
    return PlacementSummary(
        f"{grammar.name}: placement",
        placement.strategy,
        placement.logical_gpus,
        workers,
        _streams(schedule, rounds, first),
    )


def bytes_text(count: float) -> str:
    """Return a number of bytes as a short text.

    >>> bytes_text(512), bytes_text(0.5), bytes_text(150_264), bytes_text(2.5e9)
    ('512 B', '0.5 B', '150.3 kB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.1f}".removesuffix(".0") + f" {unit}"


def text(summary: PlacementSummary) -> str:
    """Return the summary of a placement as text: a table of workers, and a table of the traffic between workers."""
    workers = [
        (each.name, ", ".join(each.contents), each.machine or "any", "; ".join(each.asks) or "nothing")
        for each in summary.workers
    ]
    streams = [
        (stream.source, stream.target, str(stream.carries), f"{stream.messages:.4g}", bytes_text(stream.bytes))
        for stream in summary.streams
    ]
    streams += [
        (each.name, "each other", "sums over replicas", "", bytes_text(each.summed))
        for each in summary.workers
        if each.summed
    ]
    hosting = aligned(workers, ("worker", "hosts", "machine", "asks for"))
    traffic = aligned(streams, ("from", "to", "what", "messages", "bytes")) if streams else "nothing travels"
    return "\n".join([summary.title, *summary.notes, "", hosting, "", traffic, ""])


def _placed(placement: Placement, worker: str, summed: float) -> PlacedWorker:
    demand = placement.resources_of[worker]
    hosts = placement.hosts_on[worker]
    agents = tuple(player for player, at in placement.agents if at == worker)
    machine = demand.node if isinstance(demand.node, str) else ""
    return PlacedWorker(
        placement.replicas_of[worker], hosts, agents, machine, tuple(_asks(placement, hosts, demand)), summed
    )


def _asks(placement: Placement, hosts: tuple[str, ...], demand: WorkerResources) -> list[str]:
    """Return the resources and settings of a worker that differ from the default, in words."""
    asked, precision = in_ray_terms(demand), dict(placement.precision)
    labels = [] if isinstance(demand.node, str) else [f"{key} = {value}" for key, value in demand.node]
    rounded = {player: kind for player, kind in precision.items() if player in hosts and kind is not Precision.DECLARED}
    return [
        *([amounts(asked)] if asked else []),
        *labels,
        *(["a runtime_env of its own"] if demand.runtime_env else []),
        *(f"{player} in parts" for player in placement.sharded if player in hosts),
        *(f"{player} computed again" for player in placement.recomputed if player in hosts),
        *(f"{player} in {kind}" for player, kind in rounded.items()),
    ]


def _carries(edge: Edge) -> Carries:
    if edge.phase is Phase.MOVE:
        return Carries.PARAMETERS
    return Carries.VALUES if edge.order == "zeroth" else Carries.DERIVATIVES


def _streams(schedule: Schedule, rounds: range, first: Mapping[str, str]) -> tuple[Stream, ...]:
    messages, payload = Counter[tuple[str, str, Carries]](), Counter[tuple[str, str, Carries]]()
    for each in planned(schedule, rounds):
        key = first[each.edge.source], first[each.edge.target], _carries(each.edge)
        if key[0] != key[1]:
            messages[key] += each.messages
            payload[key] += each.payload
    return tuple(Stream(*key, messages[key] / len(rounds), payload[key] / len(rounds)) for key in messages)


def _summed(schedule: Schedule, rounds: range, first: Mapping[str, str]) -> Counter[str]:
    """Return, by worker, the bytes that each of its replicas contributes to all-reduces, on average per round."""
    found = Counter[str]()
    for step in schedule.steps:
        if isinstance(step, Contribute) and step.worker == step.reduction.workers[0]:
            times = sum(step.when.active(round) for round in rounds)
            found[first[step.worker]] += times * step.reduction.bytes / len(rounds)  # pyright: ignore[reportArgumentType]
    return found
