"""Writes the tables of docs/scale.md. Except measured tables, they are computed from the constants in the document."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import table
from benchmarks.scale import limits, model
from benchmarks.scale.calibration import Check
from benchmarks.scale.model import NAMES, Constants, Round

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
SIZES = (10, 100, 1_000, 10_000)
CALLS = (1, 100)
"""Rounds per call, for the two columns with the coordinator's share."""
PART = 100
"""Number of agents per part, if Nature were split into parts."""
ASSUMED = ("enrol", "latency", "bandwidth", "cores")


class Unit(NamedTuple):
    """The unit in which a constant is printed. of: size of the unit in SI units, such as 1e-6 for µs."""

    name: str
    of: float


MICRO = Unit("µs", 1e-6)
UNITS: Mapping[str, Unit] = {
    **dict.fromkeys(("play", "message", "post", "hop", "term", "call", "audit", "mail"), MICRO),
    **dict.fromkeys(("ask", "key", "compile", "unpack", "latency"), MICRO),
    **dict.fromkeys(("declare", "state", "enrol"), Unit("ms", 1e-3)),
    "copy": Unit("ns a byte", 1e-9),
    "worker_statistics": Unit("bytes", 1.0),
    "assignment": Unit("bytes", 1.0),
    "held": Unit("bytes", 1.0),
    "start": Unit("s", 1.0),
    "memory": Unit("MB", 1e6),
    "bandwidth": Unit("MB a second", 1e6),
    "cores": Unit("cores", 1.0),
}

TYPICAL: Mapping[str, Callable[[int], Round]] = {
    "chain": lambda workers: model.chain(workers, value=1e6, compute=1e-3),
    "replicas": lambda workers: model.replicas(workers, value=1e5, parameters=4e7, compute=50e-3),
    "agents": lambda workers: model.agents(workers, value=1e4, down=2, up=1, compute=5e-3),
}
"""The grammars of the large table. value: bytes per message. compute: seconds per query, and per product."""
STATE = {"chain": 12e6, "replicas": 0.0, "agents": 12e6}
"""Bytes of a worker's checkpoint. It is 0 for replicas, because only the first replica writes."""


def constants_table(c: Constants) -> str:
    """Return the table of the model's constants, one row each, with the description from the source code of the
    model.
    """
    rows = []
    for name, text in _descriptions().items():
        unit = UNITS[name]
        number = f"{getattr(c, name) / unit.of:.3g}".replace("e+0", "e")
        rows.append([f"`{name}`", f"{float(number):g}", unit.name, "assumed" if name in ASSUMED else "measured", text])
    return table(["constant", "value", "unit", "from", "what"], rows)


def read_constants(text: str) -> Constants:
    """Read the model's constants from their table in a document."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", block(text, "constants"), re.MULTILINE)
    found = {name: float(number) * UNITS[name].of for name, number, _ in rows}
    return Constants(**found)


def check_table(checks: Sequence[Check]) -> str:
    """Return the table of predicted and measured quantities, and their ratios."""
    rows = [
        [
            each.what,
            f"{each.workers:,}",
            f"{each.predicted:.3g}",
            f"{each.measured:.3g}",
            each.unit,
            f"{each.ratio:.2f}",
        ]
        for each in checks
    ]
    return table(["what", "workers", "predicted", "measured", "unit", "measured / predicted"], rows)


def scale_table(c: Constants) -> str:
    """Return the table of round times, for each grammar and number of workers."""
    rows = []
    for name, game in TYPICAL.items():
        for workers in SIZES:
            r = game(workers)
            shares = [f"{model.share(c, r, rounds):.0%}" for rounds in CALLS]
            rows.append(
                [
                    f"{name}, {workers:,}",
                    f"{model.machines(c, r):,}",
                    duration(model.seconds(c, r)),
                    limit(c, r),
                    *shares,
                ]
            )
    return table(["grammar, workers", "machines", "round", "most of it", "coordinator, 1 a call", "100 a call"], rows)


def start_table(c: Constants) -> str:
    """Return the table of start-up and checkpoint costs, for each grammar and number of workers."""
    rows = []
    for name, game in TYPICAL.items():
        for workers in SIZES:
            r = game(workers)
            peers = float(r.ring if name == "replicas" else 2)
            steps = [model.prepare(c, r), model.start(c, r), model.hand_out(c, r), model.meet(c, r, peers)]
            memory = f"{model.resident(c, r) / 1e9:,.1f} GB"
            saved = model.checkpoint(c, r, STATE[name]) + (4e7 * 3 / c.bandwidth if name == "replicas" else 0.0)
            rows.append([f"{name}, {workers:,}", *map(duration, steps), memory, duration(saved)])
    head = ["grammar, workers", "declare, compile", "start", "hand out", "meet", "memory", "checkpoint"]
    return table(head, rows)


def limit(c: Constants, r: Round) -> str:
    """Return the largest part of a round's time and its share, as text."""
    spent, whole = model.parts(c, r), model.seconds(c, r)
    if whole > model.path(c, r):
        return "all cores busy"
    name = max(spent, key=lambda each: spent[each])
    return f"{name}, {spent[name] / whole:.0%}"


def limits_table(c: Constants) -> str:
    """Return the table of limits, each with the number of workers at which it is reached."""
    games = TYPICAL

    def row(what: str, holds: Callable[[int], bool]) -> list[str]:
        found = limits.first(holds)
        return [what, "never" if found is None else f"{found:,}"]

    def takes(name: str, part: str) -> Callable[[int], bool]:
        return lambda workers: model.parts(c, games[name](workers))[part] > model.seconds(c, games[name](workers)) / 2

    def outlasts(rounds: int) -> Callable[[int], bool]:
        def holds(workers: int) -> bool:
            r = games["agents"](workers)
            return model.coordinator(c, r) > rounds * _in_parts(c, r)

        return holds

    rows = [
        row("agents: Nature's core is more than half of a round", takes("agents", "the hub's core")),
        row("agents: Nature's network is more than half of a round", takes("agents", "the hub's network")),
        row("agents: a call of 1 round keeps the coordinator as long as the round", _outlasted(c, "agents", 1)),
        row("the same, were Nature in parts, one for 100 agents", outlasts(1)),
        row("the same, 100 rounds a call", outlasts(100)),
        row("replicas: Nature and the loss are more than half of a round", takes("replicas", "the hub's core")),
        row("replicas: the ring's steps take longer than its bytes", lambda workers: _steps_win(c, workers)),
        row("replicas: the ring's steps take longer than the arithmetic", lambda workers: _steps_slow(c, workers)),
        row("replicas: meeting takes the store 30 s, a message's deadline", lambda workers: _meeting(c, workers) > 30),
        row("agents: declaring and compiling takes a minute", lambda n: model.prepare(c, games["agents"](n)) > 60),
        row("all: the assignment doubles a worker's memory", lambda workers: workers * c.held > c.memory),
    ]
    return table(["what", "from how many workers"], rows)


def remedies_table(c: Constants) -> str:
    """Return the table of possible improvements, with the model's times without and with each improvement."""
    rows: list[list[str]] = []

    def row(what: str, workers: int, today: float, then: float) -> None:
        rows.append([what, f"{workers:,}", duration(today), duration(then)])

    for workers in SIZES[1:]:
        a, b = TYPICAL["agents"](workers), TYPICAL["replicas"](workers)
        for rounds in CALLS:
            what = f"coordinators of {limits.FAN} each; their time for a round, {rounds} a call"
            row(what, workers, model.coordinator(c, a) / rounds, limits.tree(c, a) / rounds)
        row(f"Nature in parts, one for {PART} agents; a round", workers, model.seconds(c, a), _in_parts(c, a))
        nested = limits.nested_ring(c, b, int(c.cores))
        row("rings of a machine and one of machines; a round of replicas", workers, model.seconds(c, b), nested)
        bare = replace(b, hub_sends=0, hub_receives=0)
        nested = limits.nested_ring(c, bare, int(c.cores))
        row("the same, with Nature and the loss on each replica's worker", workers, model.seconds(c, b), nested)
    return table(["what", "workers", "today", "then"], rows)


def duration(seconds: float) -> str:
    """Return a time as text with two digits and a unit.

    >>> [duration(each) for each in (0.00123, 0.5, 72)]
    ['1.2 ms', '500 ms', '72 s']
    """
    for unit, of in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= of:
            return f"{float(f'{seconds / of:.2g}'):,g} {unit}"
    return "0 s" if seconds == 0 else f"{seconds / 1e-6:.1g} µs"


def block(text: str, name: str) -> str:
    """Return the text between the two markers of the block `name`."""
    found = _marked(name).search(text)
    assert found, f"docs/scale.md has no block {name!r}"
    return found.group(1).strip()


def with_block(text: str, name: str, content: str) -> str:
    """Return the text with new content in the block `name`."""
    return _marked(name).sub(lambda _: f"<!-- {name} -->\n{content}\n<!-- end -->", text)


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {name} -->\n(.*?)<!-- end -->", re.DOTALL)


def derived(c: Constants) -> Mapping[str, str]:
    """Return the text blocks of docs/scale.md that depend only on the constants, by name."""
    return {
        "rounds": scale_table(c),
        "starts": start_table(c),
        "limits": limits_table(c),
        "mail": f"{c.mail / c.message:.1f} times, {duration(c.mail)} of all cores.",
        "remedies": remedies_table(c),
    }


def _steps_win(c: Constants, workers: int) -> bool:
    spent = model.parts(c, TYPICAL["replicas"](workers))
    return spent["steps of the ring"] > spent["bytes of the ring"]


def _steps_slow(c: Constants, workers: int) -> bool:
    spent = model.parts(c, TYPICAL["replicas"](workers))
    return spent["steps of the ring"] > spent["arithmetic"]


def _outlasted(c: Constants, name: str, rounds: int) -> Callable[[int], bool]:
    def holds(workers: int) -> bool:
        r = TYPICAL[name](workers)
        return model.coordinator(c, r) > rounds * model.seconds(c, r)

    return holds


def _in_parts(c: Constants, r: Round) -> float:
    return limits.sharded_hub(c, r, max(1, r.workers // PART))


def _meeting(c: Constants, workers: int) -> float:
    return model.meet(c, TYPICAL["replicas"](workers), workers)


def _descriptions() -> Mapping[str, str]:
    source = Path(model.__file__).read_text()
    found = dict(re.findall(r'^    (\w+): float\n    """(.*?)"""', source, re.MULTILINE | re.DOTALL))
    return {name: found[name] for name in NAMES}
