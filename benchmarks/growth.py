"""What changes with more players, workers and rounds: rounds per second, start-up, memory, and the coordinator's share
of a round.

python -m benchmarks.growth [--repetitions 7] [--rounds 1000000]
"""

import argparse
import os
import pickle
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

import torch

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread, together
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.pool import Pool
from antiphon.grammars import Grammar
from antiphon.grammars.library import backprop
from benchmarks.paired import Times, in_turn, paired_ratio, seconds_a_round
from benchmarks.pictures import pyplot
from benchmarks.plain import Play, plain_network
from benchmarks.report import machine, table, write_section
from benchmarks.scale.games import SGD, VALUE, WIDTH, linear, nature
from benchmarks.scale.playing import Spent, family, memory, spent, workers_of
from benchmarks.scale.preparing import cpu, heard, statistics

PLAYERS = (2, 4, 8, 16, 32, 64)
WORKERS = (2, 4, 8, 16, 24)
STARTED = (2, 8, 24)
CALL = 100
"""Rounds per call of `play`."""
PLOT = Path(__file__).with_name("growth.png")


def layers(count: int) -> Grammar:
    """Make the grammar of backpropagation through `count` small layers."""
    return backprop(nature(), {f"Layer{index}": linear() for index in range(count)})


def in_process(players: int) -> Assignment:
    """Assign the grammar of `players` small layers to one process, without messages."""
    grammar = layers(players)
    return assign(grammar, SGD, placement=together(grammar))


def apart(workers: int) -> Assignment:
    """Assign a grammar of small layers to workers, one layer each.

    Nature is with the first layer, and the loss with the last layer.
    """
    grammar = layers(workers)
    fuse = [["Nature", "Layer0"], [f"Layer{workers - 1}", "Loss"]]
    return assign(grammar, SGD, placement=spread(grammar, fuse))


def plain(players: int) -> Play:
    """Return a function that trains the same network of `players` small layers in plain PyTorch."""
    x, y = torch.randn(8, WIDTH), torch.randint(WIDTH, (8,))
    return plain_network([linear()() for _ in range(players)], x, y, 0.01)


def by_players(repetitions: int) -> tuple[Times, Times]:
    """Measure the seconds per round in one process, by number of players: of the executor `inline`, and of plain
    PyTorch.
    """
    executors = {str(players): InlineExecutor(in_process(players)) for players in PLAYERS}
    ours = {name: partial(seconds_a_round, each.play, CALL) for name, each in executors.items()}
    theirs = {f"plain {players}": partial(seconds_a_round, plain(players), CALL) for players in PLAYERS}
    in_turn(ours | theirs, 1)
    times = in_turn(ours | theirs, repetitions)
    for each in executors.values():
        each.close()
    return {name: times[name] for name in ours}, {name: times[f"plain {name}"] for name in ours}


def by_workers(pool: Pool, repetitions: int) -> Mapping[int, list[Spent]]:
    """Measure rounds on Ray, by number of workers: the clock time and the CPU time of processes, per round."""
    found: dict[int, list[Spent]] = {workers: [] for workers in WORKERS}

    def one(workers: int) -> float:
        with RayExecutor(apart(workers), f"growth-{workers}-{len(found[workers])}", pool=pool) as run:
            run.play(3)
            found[workers].append(spent(lambda: run.play(CALL)).over(CALL))
        return found[workers][-1].clock

    in_turn({str(workers): partial(one, workers) for workers in WORKERS}, repetitions)
    return found


def audited(workers: int, repetitions: int) -> float:
    """Measure the coordinator's core seconds, per round, for the statistics of one call: unpack, audit, sum up."""
    schedule = apart(workers).schedule
    sent = [pickle.dumps(each) for each in statistics(schedule, CALL)]
    return median(cpu(lambda: heard(schedule, sent, CALL))[0] for _ in range(repetitions)) / CALL


def started(workers: int) -> tuple[float, float]:
    """Start `workers` workers. Return the seconds that this takes, and the bytes of memory of one worker.

    Shared pages are divided among the processes that share them. As in `antiphon run`, the
    workers are forked from a process that has imported torch.
    """
    began = time.perf_counter()
    pool = Pool(workers)
    clock = time.perf_counter() - began
    try:
        return clock, median(map(memory, workers_of(family(os.getpid()))))
    finally:
        pool.close()


def resident() -> float:
    """Return the current memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def long_run(rounds: int, call: int = 1000, samples: int = 100) -> tuple[list[int], list[float], float]:
    """Play a small game for many rounds in this process.

    Returns the rounds of the samples, their MiB, and the total seconds.
    """
    at: list[int] = []
    sizes, began = [], time.perf_counter()
    with InlineExecutor(in_process(2)) as run:
        while run.round < rounds:
            run.play(min(call, rounds - run.round))
            if run.round * samples // rounds > len(at):
                at.append(run.round)
                sizes.append(resident())
    return at, sizes, time.perf_counter() - began


def starts_table(starts: Mapping[int, tuple[float, float]]) -> str:
    """Return the table of start-up time and memory per worker, by the number of workers that start together."""
    rows = [
        [workers, f"{clock:.2f}", f"{clock / workers * 1e3:.0f}", f"{size / 2**20:.0f}"]
        for workers, (clock, size) in starts.items()
    ]
    return table(["workers started", "seconds", "ms a worker", "MiB a worker"], rows)


def players_table(ours: Times, theirs: Times) -> str:
    """Return the table of rounds per second in one process, by number of players."""
    rows = [
        [
            name,
            f"{1 / median(each):.0f}",
            f"{median(each) / int(name) * 1e6:.1f}",
            paired_ratio(each, theirs[name]),
        ]
        for name, each in ours.items()
    ]
    return table(["players, inline", "rounds/s", "us a player", "time by that of plain PyTorch"], rows)


def workers_table(found: Mapping[int, Sequence[Spent]], audits: Mapping[int, float]) -> str:
    """Return the table of rounds per second on Ray, and the coordinator's share of a round, by number of workers."""
    rows = []
    for workers, repeated in found.items():
        clock = median(each.clock for each in repeated)
        process = median(each.coordinator / each.clock for each in repeated)
        figures = f"{1 / clock:.0f}", f"{clock / workers * 1e6:.0f}", f"{audits[workers] / clock:.2%}", f"{process:.1%}"
        rows.append([workers, *figures])
    return table(["workers, Ray", "rounds/s", "us a worker", "coordinator's work", "its process"], rows)


def draw(ours: Times, found: Mapping[int, Sequence[Spent]], at: Sequence[int], sizes: Sequence[float]) -> None:
    """Draw three panels: rounds per second by players and by workers, and the memory of the long run by rounds."""
    figure, (inline, on_ray, run) = pyplot.subplots(1, 3, figsize=(12.6, 3.8), layout="constrained")
    inline.loglog(list(map(int, ours)), [1 / median(each) for each in ours.values()], marker="o")
    inline.set(xlabel="players, inline", ylabel="rounds/s")
    on_ray.loglog(list(found), [1 / median(each.clock for each in repeated) for repeated in found.values()], marker="o")
    on_ray.set(xlabel="workers, Ray", ylabel="rounds/s")
    run.plot(at, sizes)
    run.set(xlabel="rounds, inline", ylabel="memory of the process, MiB", ylim=(0, 1.2 * max(sizes)))
    for axis in (inline, on_ray, run):
        axis.grid(alpha=0.3)
    figure.savefig(PLOT, dpi=90)
    pyplot.close(figure)


def main() -> None:
    """Measure, print the tables, and write this benchmark's section of RESULTS.md and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=1_000_000, help="of the long run")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    at, sizes, lasted = long_run(chosen.rounds)
    ours, theirs = by_players(chosen.repetitions)
    with ray_session(num_cpus=32):
        starts = {workers: started(workers) for workers in STARTED}
        with closing(Pool(max(WORKERS))) as pool:
            found = by_workers(pool, chosen.repetitions)
    audits = {workers: audited(workers, 3 * chosen.repetitions) for workers in WORKERS}
    tenth = len(sizes) // 10
    report = (
        f"`python -m benchmarks.growth --repetitions {chosen.repetitions} --rounds {chosen.rounds}`: layers of width "
        f"{WIDTH}, messages of {VALUE} bytes, SGD, one thread; {CALL} rounds a call ({machine()}). The coordinator's "
        "work is to unpack, audit and sum up the workers' statistics; its process also runs Ray's calls and threads. "
        "Both are times on a core, by the clock's time of the same rounds. Ratios are paired by "
        "repetition (geometric mean, 95 % interval of Student on the logarithms).\n\n"
        f"{players_table(ours, theirs)}\n\n{workers_table(found, audits)}\n\n{starts_table(starts)}\n\n"
        f"A run of {chosen.rounds} rounds of two players in one process took {lasted:.0f} s. Its process had "
        f"{sizes[tenth]:.1f} MiB after a tenth of the rounds, and {sizes[-1]:.1f} MiB at the end.\n\n"
        f"![Rounds per second by players and by workers, and memory by rounds]({PLOT.name})"
    )
    print(report)
    draw(ours, found, at, sizes)
    write_section("Growth with players, workers and rounds", report)


if __name__ == "__main__":
    main()
