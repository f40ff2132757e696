"""All measurements in order: small and large runs on Ray in turn, then measurements in a single process."""

import os
import time
from dataclasses import dataclass

import ray
import torch

from antiphon.coordinator.connection import Transport
from antiphon.deploy.pool import Pool
from benchmarks.scale import games
from benchmarks.scale.playing import Seen, all_seen, core_seconds, family, memory, post_seconds, seen, workers_of
from benchmarks.scale.preparing import Prepared, ask_seconds, copy_seconds, held_bytes, play_seconds, prepared

SMALL = (4, 6, 8)
"""Numbers of workers for the calibration of the constants."""
LARGE = (12, 16, 24, 32, 48)
"""Numbers of workers at which the model is compared with measurements."""
ALONE = (12, 102, 1002, 10002)
"""Numbers of workers of the chains that are compiled and audited, but not played."""


@dataclass(frozen=True)
class Measured:
    """All measurements of the benchmark.

    seen: times of each run, by game and number of workers. mail: times of the runs with Ray's object store. start,
    memory: core seconds and bytes of each worker. started: clock seconds until all workers ran. load: load average of
    the machine before and after. prepared: chains that are compiled and not played (see `ALONE`). The other fields are
    as in `Constants`.
    """

    play: float
    post: float
    copy: float
    ask: float
    key: float
    held: float
    started: float
    start: tuple[float, ...]
    memory: tuple[int, ...]
    seen: dict[tuple[str, int], list[Seen]]
    mail: tuple[Seen, ...]
    prepared: tuple[Prepared, ...]
    load: tuple[float, float]


def measure(rounds: int, passes: int) -> Measured:
    """Make all measurements of the benchmark. This takes some minutes.

    rounds: per repetition. passes: number of times that all games and sizes are measured.
    """
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    sizes = (*SMALL, *LARGE)
    # Not in a `ray_session`, which forks its workers: on a cluster each worker imports torch.
    with ray.init(num_cpus=16, include_dashboard=False, log_to_driver=False):
        began = time.perf_counter()
        pool = Pool(max(sizes))
        started = time.perf_counter() - began
        try:
            ours = workers_of(family(os.getpid()))
            start, sizes_of = tuple(map(core_seconds, ours)), tuple(map(memory, ours))
            found = all_seen(games.GAMES, sizes, pool, rounds, passes)
            post = post_seconds(games.agents(12), pool, 10 * rounds)
            store = Transport.OBJECT_STORE
            mail = tuple(seen(games.chain(6), pool, rounds, f"mail-{each}", passes, store) for each in range(passes))
        finally:
            pool.close()
    ask, key = ask_seconds()
    return Measured(
        play=play_seconds(),
        post=post,
        copy=copy_seconds(),
        ask=ask,
        key=key,
        held=held_bytes(),
        started=started,
        start=start,
        memory=sizes_of,
        seen=found,
        mail=mail,
        prepared=tuple(prepared(workers) for workers in ALONE),
        load=(before, os.getloadavg()[0]),
    )
