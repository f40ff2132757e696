"""Fit the model's constants to measurements with few workers, and predict measurements with many workers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.scale import model
from benchmarks.scale.games import VALUE, WIDTH
from benchmarks.scale.measuring import LARGE, SMALL, Measured
from benchmarks.scale.model import Constants, Round
from benchmarks.scale.playing import Seen
from benchmarks.scale.preparing import Prepared

CORES = 2.0
"""Cores of the measured machine."""
ENROL, LATENCY, BANDWIDTH, CORES_OF_A_MACHINE = 2.6e-3, 100e-6, 25e9 / 8, 16.0
"""Assumptions about the machines of large runs; docs/scale.md gives the reasons."""

ROUNDS: Mapping[str, Callable[[int], Round]] = {
    "chain": lambda workers: model.chain(workers, VALUE),
    "replicas": lambda workers: model.replicas(workers, VALUE, 4 * (WIDTH + 1) * WIDTH),
    "agents": lambda workers: model.agents(workers, VALUE),
}
"""The measured games, as rounds of the model."""


@dataclass(frozen=True)
class Check:
    """One quantity: its prediction by the model from runs with few workers, and its measurement, both in `unit`."""

    what: str
    workers: int
    predicted: float
    measured: float
    unit: str

    @property
    def ratio(self) -> float:
        """The measurement divided by the prediction."""
        return self.measured / self.predicted


def calibrated(m: Measured) -> Constants:
    """Return the constants of the cost model, fitted to runs with few workers.

    Core seconds are medians. Clock seconds are minima, because other programs use the machine.
    """
    layer = m.prepared[1]
    chains = [(worked(m, "chain", workers), _round("chain", workers)) for workers in SMALL]
    per_message = steepness((each.messages, used - each.plays * m.play) for used, each in chains)
    hops = [(quietest(m, "chain", workers), _round("chain", workers)) for workers in SMALL]
    per_hop = steepness((each.depth, clock - each.steps * m.play / 2) for clock, each in hops)
    rings = [(worked(m, "replicas", workers), _round("replicas", workers)) for workers in SMALL]
    per_step = steepness(
        (2 * each.ring * (each.ring - 1), used - each.messages * per_message - each.plays * m.play)
        for used, each in rings
    )
    _, call = line((workers, median(each.calls.coordinator for each in _of(m, workers))) for workers in SMALL)
    saved = [each.save.workers / each.workers for workers in SMALL for each in _of(m, workers)]
    mailed = [spent.everyone for each in m.mail for spent in each.rounds]
    by_mail = _round("chain", m.mail[0].workers)
    return Constants(
        play=m.play,
        message=per_message - m.copy * VALUE,
        post=m.post,
        hop=per_hop - m.copy * VALUE,
        copy=m.copy,
        term=per_step,
        call=call,
        audit=layer.audit,
        worker_statistics=layer.worker_statistics,
        mail=(median(mailed) - by_mail.plays * m.play) / by_mail.messages,
        declare=layer.declare / layer.players,
        compile=layer.compile / layer.workers,
        assignment=layer.size / layer.workers,
        held=m.held,
        unpack=layer.unpack / layer.workers,
        ask=m.ask,
        key=m.key,
        start=median(m.start),
        memory=median(m.memory),
        state=median(saved),
        enrol=ENROL,
        latency=LATENCY,
        bandwidth=BANDWIDTH,
        cores=CORES_OF_A_MACHINE,
    )


def checks(m: Measured, c: Constants) -> list[Check]:
    """Compare predictions with measurements that were not used for the calibration.

    They are rounds, calls, checkpoints and the preparation of runs.
    """
    here = c.on_one_machine(CORES)
    found: list[Check] = []
    for name, game in ROUNDS.items():
        for workers in (*(SMALL if name == "agents" else ()), *LARGE):
            predicted, used = model.work(here, game(workers)), worked(m, name, workers)
            found.append(Check(f"{name}: cores", workers, 1e3 * predicted, 1e3 * used, "ms a round"))
    for name, game in ROUNDS.items():
        for workers in LARGE:
            r, clock = game(workers), quietest(m, name, workers)
            predicted = max(model.path(here, r), model.work(here, r) / CORES)
            found.append(Check(f"{name}: clock", workers, 1e3 * predicted, 1e3 * clock, "ms a round"))
    base, _ = line((workers, median(each.calls.coordinator for each in _of(m, workers))) for workers in SMALL)
    for workers in LARGE:
        measured = median(each.calls.coordinator for each in _of(m, workers))
        found.append(Check("a call: coordinator", workers, 1e3 * (base + workers * c.call), 1e3 * measured, "ms"))
    for workers in LARGE:
        measured = median(each.save.workers for each in _of(m, workers))
        found.append(Check("a checkpoint: workers", workers, 1e3 * workers * c.state, 1e3 * measured, "ms"))
    for each in m.prepared[2:]:
        found += _prepared(c, each)
    return found


def _prepared(c: Constants, each: Prepared) -> list[Check]:
    players = each.players
    return [
        Check(
            "to declare and compile", each.workers, players * (c.declare + c.compile), each.declare + each.compile, "s"
        ),
        Check("the assignment's size", each.workers, each.workers * c.assignment / 1e6, each.size / 1e6, "MB"),
        Check("a worker unpacks it", each.workers, each.workers * c.unpack, each.unpack, "s"),
        Check("the audit", each.workers, c.audit * 1e6, each.audit * 1e6, "µs an edge"),
    ]


def worked(m: Measured, name: str, workers: int) -> float:
    """Return the core seconds of all workers together per round, as the median of all repetitions.

    name: name of the game. workers: number of workers.
    """
    return median(spent.workers for each in m.seen[name, workers] for spent in each.rounds)


def quietest(m: Measured, name: str, workers: int) -> float:
    """Return the smallest clock seconds per round of all repetitions. name: the game. workers: number of workers."""
    return min(spent.clock for each in m.seen[name, workers] for spent in each.rounds)


def line(points: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return intercept and slope of the least-squares line through points.

    >>> line([(1, 3), (2, 5), (3, 7)])
    (1.0, 2.0)
    """
    xs, ys = zip(*points, strict=True)
    middle, height = sum(xs) / len(xs), sum(ys) / len(ys)
    pairs = [(x - middle, y - height) for x, y in zip(xs, ys, strict=True)]
    slope = sum(x * y for x, y in pairs) / sum(x * x for x, _ in pairs)
    return height - slope * middle, slope


def steepness(points: Iterable[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line through the origin that fits the points.

    >>> steepness([(1, 2), (2, 4)])
    2.0
    """
    pairs = list(points)
    return sum(x * y for x, y in pairs) / sum(x * x for x, _ in pairs)


def _round(name: str, workers: int) -> Round:
    return ROUNDS[name](workers)


def _of(m: Measured, workers: int) -> list[Seen]:
    return [each for (_, count), found in m.seen.items() if count == workers for each in found]
