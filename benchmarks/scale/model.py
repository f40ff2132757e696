"""The cost model: seconds and bytes of rounds, calls, starts and checkpoints, as functions of the number of workers."""

import math
from dataclasses import dataclass, fields, replace

MEETINGS, LOOKS = 2, 10
"""How often a worker waits for its peers in the store while it opens its channel, and how often it polls each time."""


@dataclass(frozen=True)
class Constants:
    """The constants of the model. Seconds are seconds of one core, unless they are called clock seconds.

    `python -m benchmarks.scale` measures the first group; the second group is assumed. The descriptions below are
    printed in docs/scale.md.
    """

    play: float
    """Seconds of a small player's work per round: query, product, delivery, move."""
    message: float
    """Seconds per message, both ends together, without the cost of its bytes."""
    hop: float
    """Clock seconds from the computation of a value to its arrival on another worker, without the cost of its bytes."""
    post: float
    """Seconds of the sender alone per message, when it sends many in a row."""
    copy: float
    """Seconds per byte of a message, both ends together."""
    term: float
    """Seconds of one step of the all-reduce ring, on each of its workers."""
    call: float
    """Seconds of the coordinator per worker, for a call of `play` with 0 rounds."""
    audit: float
    """Seconds of the coordinator per edge and call, to unpack the statistics and compare both ends."""
    worker_statistics: float
    """Bytes of statistics per edge and call, both ends together."""
    mail: float
    """Seconds of all processes per message through the object store."""
    declare: float
    """Seconds per player to declare a grammar and infer its types."""
    compile: float
    """Seconds per worker for placement, schedule, verification and pickling."""
    assignment: float
    """Bytes of the pickled assignment per worker."""
    unpack: float
    """Seconds of every worker per worker of the run, to unpickle and project the whole assignment."""
    held: float
    """Bytes in every worker per worker of the run, for the unpacked assignment."""
    ask: float
    """Seconds per request to the store. Its single thread serves all workers."""
    key: float
    """Seconds of the store per key in a request."""
    start: float
    """Seconds to start a worker, which imports torch."""
    memory: float
    """Bytes of memory of a worker with a small player."""
    state: float
    """Seconds per worker of a checkpoint: the worker writes its files, the coordinator receives its answer."""

    enrol: float
    """Seconds of Ray per actor. It starts actors one after the other."""
    latency: float
    """Seconds that the network takes from one machine to another."""
    bandwidth: float
    """Bytes per second, in and out of each machine."""
    cores: float
    """Cores per machine. Each core runs one worker."""

    def on_one_machine(self, cores: float) -> "Constants":
        """Return a copy of the constants of this object for a single machine with `cores` cores and no network."""
        return replace(self, latency=0.0, bandwidth=math.inf, cores=cores)


NAMES = tuple(field.name for field in fields(Constants))


@dataclass(frozen=True, kw_only=True)
class Round:
    """The work in one round of a grammar on a placement: numbers of messages, steps and bytes.

    messages: number of messages, each of `value` bytes. depth: length of the longest chain of dependent messages.
    steps: number of half plays on that chain; a half play is a query (forward pass), or a vector-Jacobian product
    (backward pass) with the move after it. hub_sends, hub_receives: messages of the busiest workers that are not in
    that chain, but for which other workers wait. plays: number of plays of all players. ring: workers of an all-reduce.
    ring_bytes: bytes that one worker contributes to the all-reduce. compute: seconds of arithmetic per query, and per
    product.
    """

    workers: int
    players: int
    messages: int
    value: float
    depth: int
    steps: int
    plays: int
    hub_sends: int = 0
    hub_receives: int = 0
    ring: int = 1
    ring_bytes: float = 0.0
    compute: float = 0.0


def chain(workers: int, value: float, compute: float = 0.0) -> Round:
    """Return the work of a round for a chain of layers, each a player, between Nature and a loss."""
    layers = workers - 2
    return Round(
        workers=workers,
        players=layers,
        messages=2 * layers + 2,
        value=value,
        depth=2 * layers + 1,
        steps=2 * layers,
        plays=layers,
        compute=compute,
    )


def replicas(workers: int, value: float, parameters: float, compute: float = 0.0) -> Round:
    """Return the work of a round for one player replicated on all workers except two.

    Nature sends to each replica, each replica to the loss, and the loss to each replica.
    """
    count = workers - 2
    return Round(
        workers=workers,
        players=1,
        messages=3 * count + 1,
        value=value,
        depth=3,
        steps=2,
        plays=count,
        hub_sends=2 * (count - 1),
        hub_receives=count - 1,
        ring=count,
        ring_bytes=parameters,
        compute=compute,
    )


def agents(workers: int, value: float, down: int = 2, up: int = 0, compute: float = 0.0) -> Round:
    """Return the work of a round for agents that share only Nature.

    down, up: number of messages from Nature to each agent, and from each agent to Nature.
    """
    count = workers - 1
    return Round(
        workers=workers,
        players=count,
        messages=(down + up) * count,
        value=value,
        depth=1 + 2 * up,
        steps=2,
        plays=count,
        hub_sends=down * (count - 1),
        hub_receives=up * (count - 1),
        compute=compute,
    )


def parts(c: Constants, r: Round) -> dict[str, float]:
    """Return the modelled seconds of a round with unlimited cores, by cause. The parts follow one another, so they add
    up.

    They are the longest chain of messages, and the hub: the busiest workers, which handle their messages one at a time.
    """
    hub = r.hub_sends + r.hub_receives
    ring = 2 * (r.ring - 1)
    return {
        "arithmetic": r.steps * (c.play / 2 + r.compute),
        "messages in a chain": r.depth * (c.hop + c.latency + r.value * c.copy),
        "network in a chain": r.depth * r.value / c.bandwidth,
        "the hub's core": r.hub_sends * c.post + r.hub_receives * (c.message - c.post) + hub * r.value * c.copy / 2,
        "the hub's network": hub * r.value / c.bandwidth,
        "steps of the ring": ring * (c.term + c.latency),
        "bytes of the ring": ring / r.ring * r.ring_bytes * (1 / c.bandwidth + c.copy),
    }


def path(c: Constants, r: Round) -> float:
    """Return the modelled seconds of a round with unlimited cores: the sum of all parts."""
    return sum(parts(c, r).values())


def work(c: Constants, r: Round) -> float:
    """Return the modelled core seconds of a round, over all workers."""
    ring = 2 * (r.ring - 1) * (r.ring * c.term + r.ring_bytes * c.copy)
    return r.messages * (c.message + r.value * c.copy) + r.plays * (c.play + 2 * r.compute) + ring


def machines(c: Constants, r: Round) -> int:
    """Return the number of machines that the workers need."""
    return math.ceil(r.workers / c.cores)


def seconds(c: Constants, r: Round) -> float:
    """Return the modelled seconds of a round: the larger of two lower bounds.

    They are the time of dependent steps, and the work divided by the number of cores.
    """
    return max(path(c, r), work(c, r) / (c.cores * machines(c, r)))


def coordinator(c: Constants, r: Round) -> float:
    """Return the coordinator's modelled seconds for one call, while all workers wait: calls, statistics and audit.

    Workers count rounds as ranges, so a call with more rounds takes no longer. Each edge has one message a round.
    """
    return r.workers * c.call + r.messages * (c.audit + c.worker_statistics / c.bandwidth)


def share(c: Constants, r: Round, rounds: int) -> float:
    """Return the coordinator's share of a run's time. rounds: per call."""
    own = coordinator(c, r)
    return own / (own + rounds * seconds(c, r))


def prepare(c: Constants, r: Round) -> float:
    """Return the modelled seconds on one core before the first worker gets its assignment.

    This time includes declaring, compiling, verifying and pickling.
    """
    return r.players * c.declare + r.workers * c.compile


def hand_out(c: Constants, r: Round) -> float:
    """Return the modelled seconds until every worker has unpacked the whole assignment.

    Each machine fetches it once.
    """
    size = r.workers * c.assignment
    # Ray's nodes forward a large object to each other, so the time grows with the logarithm of the machines.
    spread = math.log2(machines(c, r) + 1) * size / c.bandwidth
    return spread + r.workers * c.unpack


def meet(c: Constants, r: Round, peers: float) -> float:
    """Return the modelled seconds of the store until all workers have found their peers.

    peers: average number of peers per worker, including those in its ring.
    """
    return r.workers * MEETINGS * (LOOKS * c.ask + peers * c.key)


def resident(c: Constants, r: Round) -> float:
    """Return the modelled bytes of memory of all workers together. Each worker holds the whole assignment."""
    return r.workers * (c.memory + r.workers * c.held)


def start(c: Constants, r: Round) -> float:
    """Return the modelled seconds until all workers run. Workers of a machine start in parallel on its cores."""
    return r.workers * c.enrol + c.start * math.ceil(r.workers / machines(c, r) / c.cores)


def checkpoint(c: Constants, r: Round, size: float) -> float:
    """Return the modelled seconds of a checkpoint of `size` bytes per worker.

    Each machine writes with the bandwidth `c.bandwidth`.
    """
    written = size * r.workers / machines(c, r) / c.bandwidth
    return c.state * max(1.0, r.workers / machines(c, r) / c.cores) + r.workers * c.call + written
