"""One run with faults: its driver, which is resumed after each loss, and the comparison with an undisturbed run."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from antiphon.coordinator.checkpoint import load_states
from antiphon.coordinator.history import HISTORY, committed, read_history
from antiphon.coordinator.plan.placement import hosted
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.experiments.toml_io import toml
from antiphon.grammars.states import same_states
from antiphon.runs.run import run_experiment
from benchmarks.chaos.faults import DRIVER, GCS, KILL, NODE, RAYLET, STOP, Fault, read_log, write_faults
from benchmarks.chaos.striker import borne_out
from rigs.network_namespaces import why_not
from rigs.ray_nodes import Nodes, nodes

ROOT = Path(__file__).resolve().parents[2]
GAMES: dict[str, dict[str, Any]] = {  # Any: TOML
    "backprop": {"backprop.widths": [64, 32], "backprop.batch": 64},
    "gan": {"gan.batch": 16, "gan.widths": [32]},
    "kickback": {"kickback.batch": 32},
    "dac": {"dac.widths": [16], "dac.batch": 16, "dac.envs": 2, "dac.warmup": 20, "dac.learn_from": 10}
    | {"evaluation.episodes": 2},
}
COMMON = {"rounds_per_report": 25, "checkpoint_every": 50, "keep_checkpoints": 2, "deadline": 4.0} | {
    "executor": "ray",
    "max_recoveries": 10_000,
}
ON_NODES = 8
"""The largest number of faults in a run on several nodes: each fault takes another machine."""
_UNIT = 100
"""The number of rounds of each run is a multiple of this number. The undisturbed runs have checkpoints there."""
_NODES = "head", "alice", "bob"
_SOON = {"period_ms": "1000", "timeout_ms": "2000", "failure_threshold": "3", "initial_delay_ms": "0"}
"""Settings of Ray's health checks: a node that does not answer is given up after ten seconds, not a minute."""
_SECONDS, _SUSPENDED = 1200.0, 6.0
"""Seconds after which a driver is given up, and for which a stopped driver sleeps: longer than the deadline."""


@dataclass
class Tally:
    """The results of all runs.

    struck: the log's entry of each fault. seconds: of each fault, from the end of the fault before it to its own end.
    recoveries: seconds of each recovery. wrong: what went wrong, as texts.
    """

    struck: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON
    seconds: list[float] = field(default_factory=list)
    runs: int = 0
    resumes: int = 0
    recoveries: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def experiment_of(grammar: str, rounds: int, **more: object) -> Experiment:
    """Return the experiment of a grammar, on Ray unless `more` says otherwise."""
    return read_experiment(grammar, {**COMMON, **GAMES[grammar], "rounds": rounds, **more})


def rounds_for(faults: list[Fault]) -> int:
    """Return the number of rounds of a run with these faults.

    While Ray's control store or raylet is stopped and not yet missed, the players play on for half a minute.
    """
    slow = sum(fault.role in (GCS, RAYLET) and fault.how == STOP for fault in faults)
    return _UNIT * (4 + len(faults) // 2 + 40 * slow)


def undisturbed(grammar: str, rounds: int, folder: Path) -> Path:
    """Play a grammar in this process without faults, and return the run folder."""
    every = {"checkpoint_every": _UNIT, "keep_checkpoints": rounds}
    return run_experiment(experiment_of(grammar, rounds, executor="inline", **every), folder).folder


def disturbed(faults: list[Fault], folder: Path, tally: Tally) -> list[Fault]:
    """Play a run in `folder` with faults of one grammar, and resume it after each loss of its head or driver.

    Faults of nodes need a run on several nodes: all of `faults` are of that kind, or none.
    Returns the faults that have not happened when the run ends.
    """
    with contextlib.ExitStack() as scope:
        cluster = scope.enter_context(_several(len(faults))) if faults[0].role == NODE else None
        table = folder.with_suffix(".toml")
        changes = _apart(faults[0].grammar) if cluster else {}
        experiment = experiment_of(faults[0].grammar, rounds_for(faults), **changes)
        table.write_text(toml(experiment.model_dump(exclude_none=True)))
        ended, tally.runs = False, tally.runs + 1
        while not ended and not tally.wrong:
            faults, ended = _driven(faults, folder, tally, cluster)
        return faults


def _driven(faults: list[Fault], folder: Path, tally: Tally, cluster: Nodes | None) -> tuple[list[Fault], bool]:
    """Start or resume a run, and wait until its driver has ended.

    Returns the faults that have not happened, and whether the run has come to its end.
    """
    table, left, log = (folder.with_suffix(suffix) for suffix in (".toml", ".faults", ".log"))
    write_faults(left, faults)
    before, began = len(read_log(log)), time.time()
    code = _drive([folder, table, left, log], cluster, folder.with_suffix(".out"))
    entries = read_log(log)[before:]
    if cluster is None:
        tally.wrong += leftovers(entries)
    tally.wrong += [f"{folder.name}: {entry}" for entry in entries if entry["event"] == "not recovered"]
    pending, last = {fault.number: fault for fault in faults}, None
    for entry in entries:
        if entry["event"] == "struck":
            last = pending[entry["fault"]]
            if (last.role, last.how) != (DRIVER, KILL) or borne_out(entry, folder, last.moment):
                tally.struck.append({**entry, **vars(pending.pop(entry["fault"])), "outcome": "resumed"})
        elif entry["event"] == "over":
            tally.struck[-1]["outcome"], last = entry["outcome"], None
    if last and not code:  # the run has ended before the striker saw that it went on
        tally.struck[-1]["outcome"] = "went on" if last.role in (DRIVER, GCS, RAYLET) else "recovered"
    ends = [began, *(entry["time"] for entry in entries if entry["event"] == "over"), *([time.time()] if last else [])]
    tally.seconds += [after - before for before, after in itertools.pairwise(ends)]
    if code and (last is None or not last.ends):
        tally.wrong.append(f"{folder.name}: exit code {code} after {entries[-1:]}")
    tally.resumes += code != 0
    return list(pending.values()), code == 0


def _drive(arguments: list[Path], cluster: Nodes | None, out: Path) -> int:
    """Start a driver, obey its orders until it ends, and return its exit code. A driver that does not end is killed."""
    command = [sys.executable, "-P", "-m", "benchmarks.chaos.subject", *map(str, arguments)]
    paths = [str(ROOT / ".links"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(paths)}
    with out.open("a") as errors:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}  # Any: theirs
        if cluster is None:
            process = subprocess.Popen(command, env={**os.environ, **variables}, text=True, **pipes)
        else:
            process = cluster.start(*command, cluster.address, environment={**variables, **_OPEN}, **pipes)
        late = threading.Timer(_SECONDS, process.kill)
        late.start()
        try:
            for line in process.stdout or []:
                _obey(process, json.loads(line), cluster)
            return process.wait()
        finally:
            late.cancel()
            process.kill()
            process.communicate()


_OPEN = {"ANTIPHON_WITHOUT_TOKEN": "1"}


def _obey(process: subprocess.Popen, order: list[Any], cluster: Nodes | None) -> None:  # Any: JSON
    """Do what a driver has asked for (see `Orders`), and tell the driver when it is done."""
    name, *arguments = order
    if name == "wake":
        time.sleep(_SUSPENDED)
        process.send_signal(signal.SIGCONT)
    else:
        getattr(cluster, name)(*arguments)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # the driver has ended meanwhile
        process.stdin.write("done\n")
        process.stdin.flush()


@contextlib.contextmanager
def _several(faults: int) -> Iterator[Nodes]:
    """Start the nodes of a run: each of `faults` faults needs a new one."""
    spare = tuple(f"spare{number}" for number in range(faults))
    variables = {f"RAY_health_check_{name}": value for name, value in _SOON.items()}
    with nodes(*_NODES, spare=spare, variables=variables) as cluster:
        yield cluster


def _apart(grammar: str) -> Mapping[str, object]:
    """Return the placement of a grammar on two workers, which may not share a node."""
    names = hosted(experiment_of(grammar, 1).build())
    return {"placement.strategy": "strict_spread", "placement.fuse": [list(names[start::2]) for start in range(2)]}


def why_not_cut() -> str:
    """Return the reason why no cable can be cut on this system; empty if it can."""
    return f"cables of simulated machines cannot be cut here: {reason}" if (reason := why_not()) else ""


def leftovers(entries: list[dict[str, Any]], seconds: float = 20.0) -> list[str]:  # Any: JSON
    """Return the processes and folders that the last run's Ray has left behind after some seconds."""
    session = next((Path(entry["folder"]) for entry in reversed(entries) if entry["event"] == "started"), None)
    if session is None:
        return ["the run did not start"]
    mine, found, end = os.fsencode(session.parent), ["?"], time.monotonic() + seconds
    while found and time.monotonic() < end:
        found = [str(session)] if session.exists() else []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found += [f"process {path.parent.name} of {session}"] if mine in path.read_bytes() else []
        time.sleep(0.1)
    return found


def check(folder: Path, whole: Path, rounds: int, tally: Tally) -> None:
    """Compare a run's last states with those of its undisturbed run. Check that its history has each round once."""
    last = f"checkpoints/round-{rounds:09d}"
    if not same_states(load_states(folder / last), load_states(whole / last)):
        tally.wrong.append(f"{folder.name}: other numbers than the undisturbed run")
    history = read_history(folder / HISTORY)
    counted = [round for each in committed(history) for round in each]
    if counted != list(range(rounds)):
        tally.wrong.append(f"{folder.name}: the committed history has {len(counted)} rounds, not each once")
    tally.recoveries += [entry["seconds"] for entry in history if entry["event"] == "recovered"]
