"""The cost model: seconds and bytes of rounds, calls, starts and checkpoints, as functions of the number of workers."""

import math
from dataclasses import dataclass, fields, replace

MEETINGS, LOOKS = 2, 10
"""How often a worker meets its peers in the store while it opens its channel; how often it looks, each time."""


@dataclass(frozen=True)
class Constants:
    """Everything that is not a number of workers. Seconds are seconds of one core, where they are not of a clock.

    The first group is measured by `python -m benchmarks.scale`; the second is of the machine that is imagined.
    """

    play: float
    """Seconds of a small player's own part of a round: query, product, delivery, move."""
    message: float
    """Seconds of one message, both ends together, beside its bytes."""
    hop: float
    """Seconds of a clock from a value's being made until its reader on another worker has it, beside its bytes."""
    post: float
    """Seconds of its sender alone, one message behind the other."""
    copy: float
    """Seconds per byte of a message, both ends together."""
    term: float
    """Seconds of one step of the all-reduce's ring, on each of its members."""
    call: float
    """Seconds of the coordinator for each worker of a call of `play`, without any round."""
    audit: float
    """Seconds of the coordinator for each message of each round: its numbers unpacked, and compared on both sides."""
    worker_statistics: float
    """Bytes of statistics for each message of each round, both sides together."""
    mail: float
    """Seconds of all processes for one message by the object store."""
    declare: float
    """Seconds for each player, to declare a grammar and type it."""
    compile: float
    """Seconds for each worker: placement, schedule, verification, pickle."""
    assignment: float
    """Bytes of the pickled assignment for each worker."""
    unpack: float
    """Seconds of every worker for each one of the run: it unpickles the whole assignment, and projects it."""
    held: float
    """Bytes that every worker holds for each one of the run: the assignment, unpacked."""
    ask: float
    """Seconds of a request to the store, whose one thread serves all workers."""
    key: float
    """Seconds of the store for each key that it is asked for in a request."""
    start: float
    """Seconds to start a worker, which imports torch."""
    memory: float
    """Bytes of a worker that hosts a small player."""
    state: float
    """Seconds of a worker to write its files of a checkpoint, and of the coordinator to hear of it."""

    enrol: float
    """Seconds of Ray for each actor that it starts, one after the other."""
    latency: float
    """Seconds that the network takes from one machine to another."""
    bandwidth: float
    """Bytes a second, in and out of each machine."""
    cores: float
    """Cores of a machine; a worker each."""

    def on_one_machine(self, cores: float) -> "Constants":
        """No network."""
        return replace(self, latency=0.0, bandwidth=math.inf, cores=cores)


NAMES = tuple(field.name for field in fields(Constants))


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round of one grammar on one placement consists of.

    messages: of the whole round, each of `value` bytes. depth: of the longest chain of messages that wait for one
    another; steps: halves of players' parts on it, a query or a product with its move. hub_sends, hub_receives:
    messages of the busiest workers that others beside that chain wait for. plays: parts of players altogether. ring:
    workers of an all-reduce; ring_bytes: of a term. compute: seconds of one query's arithmetic, or one product's.
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
    """Layers, each a player, between Nature and a loss."""
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
    """One player on all workers but two: Nature sends to each, each to the loss, and the loss to each."""
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
    """Agents that share Nature and nothing else. down, up: messages of each from Nature, and to it."""
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
    """Seconds of a round on as many cores as it likes, by what they are spent on, one after the other.

    The longest chain of messages; beside it the hub, which handles its messages one at a time, half of each there.
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
    """Seconds of a round on as many cores as it likes: all parts, since each waits for the one before."""
    return sum(parts(c, r).values())


def work(c: Constants, r: Round) -> float:
    """Seconds of all cores together in a round."""
    ring = 2 * (r.ring - 1) * (r.ring * c.term + r.ring_bytes * c.copy)
    return r.messages * (c.message + r.value * c.copy) + r.plays * (c.play + 2 * r.compute) + ring


def machines(c: Constants, r: Round) -> int:
    """How many machines the workers need."""
    return math.ceil(r.workers / c.cores)


def seconds(c: Constants, r: Round) -> float:
    """Seconds of a round: the longer of what waits for one another, and of the work over the cores."""
    return max(path(c, r), work(c, r) / (c.cores * machines(c, r)))


def coordinator(c: Constants, r: Round, rounds: int) -> float:
    """The coordinator's seconds for a call of so many rounds, while all workers wait: it asks, hears, and audits."""
    heard = rounds * r.messages * c.worker_statistics / c.bandwidth
    return r.workers * c.call + rounds * r.messages * c.audit + heard


def share(c: Constants, r: Round, rounds: int) -> float:
    """The coordinator's share of a run's time."""
    own = coordinator(c, r, rounds)
    return own / (own + rounds * seconds(c, r))


def prepare(c: Constants, r: Round) -> float:
    """Seconds until the first worker can be told anything: declared, compiled, verified, pickled, on one core."""
    return r.players * c.declare + r.workers * c.compile


def hand_out(c: Constants, r: Round) -> float:
    """Seconds until every worker has unpacked the whole assignment, which each machine fetches once."""
    size = r.workers * c.assignment
    # Ray's nodes pass a large object on, so that its owner sends it to a few, and time grows with the logarithm.
    spread = math.log2(machines(c, r) + 1) * size / c.bandwidth
    return spread + r.workers * c.unpack


def meet(c: Constants, r: Round, peers: float) -> float:
    """Seconds of the store until everybody has met. peers: of a worker, on average, those in its ring included."""
    return r.workers * MEETINGS * (LOOKS * c.ask + peers * c.key)


def resident(c: Constants, r: Round) -> float:
    """Bytes of all workers together, each with the whole assignment."""
    return r.workers * (c.memory + r.workers * c.held)


def start(c: Constants, r: Round) -> float:
    """Seconds until all workers of all machines run: side by side on the cores of each."""
    return r.workers * c.enrol + c.start * math.ceil(r.workers / machines(c, r) / c.cores)


def checkpoint(c: Constants, r: Round, size: float) -> float:
    """Seconds of a checkpoint of `size` bytes a worker, each machine to a disk or a network of its bandwidth."""
    written = size * r.workers / machines(c, r) / c.bandwidth
    return c.state * max(1.0, r.workers / machines(c, r) / c.cores) + r.workers * c.call + written
