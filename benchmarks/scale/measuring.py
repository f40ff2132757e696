"""Everything that is measured, in one order: small and large in turn on Ray, then what one process does alone."""

import os
import time
from dataclasses import dataclass

import torch

from antiphon.coordinator.connection import Transport
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.pool import Pool
from benchmarks.scale import games
from benchmarks.scale.playing import Seen, all_seen, core_seconds, family, memory, post_seconds, seen, workers_of
from benchmarks.scale.preparing import Prepared, ask_seconds, copy_seconds, held_bytes, play_seconds, prepared

SMALL = (4, 6, 8)
"""Workers by which the constants are calibrated."""
LARGE = (12, 16, 24, 32, 48)
"""Workers at which the model is held against what is seen."""
ALONE = (12, 102, 1002, 10002)
"""Workers of the chains that are compiled and audited without being played."""


@dataclass(frozen=True)
class Measured:
    """What was seen, by game and number of workers. start, memory: of each worker; seconds of a core, bytes.

    started: seconds of a clock until all of them ran. load: of the machine, before and after.
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
    """Takes some minutes."""
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    sizes = (*SMALL, *LARGE)
    with ray_session(num_cpus=16):
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
