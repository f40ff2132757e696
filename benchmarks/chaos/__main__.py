"""Random faults against runs of four grammars on Ray: every run ends with the numbers of an undisturbed run.

python -m benchmarks.chaos [--faults 200] [--seed 0] [--rounds 3000]

Each fault is a signal to a worker, the coordinator, the driver, or Ray's control store or raylet, in a query phase, a
response phase, while a checkpoint is written, or during a recovery. A log proves the moment of each fault.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from antiphon.coordinator.checkpoint import load_states
from antiphon.coordinator.history import HISTORY, committed, read_history
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.experiments.toml_io import toml
from antiphon.grammars.states import same_states
from antiphon.runs.folder import EXPERIMENT
from antiphon.runs.run import run_experiment
from benchmarks.chaos.faults import ENDS, Fault, drawn, read_log, write_faults
from benchmarks.report import machine, options, table, write_section

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
AT_ONCE = 8
"""The largest number of faults in one run."""
_SECONDS = 900.0


@dataclass
class Tally:
    """The results of all runs. struck: all faults. recoveries: seconds of each. wrong: what went wrong, as texts."""

    struck: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON
    runs: int = 0
    resumes: int = 0
    recoveries: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def experiment_of(game: str, rounds: int, **more: object) -> Experiment:
    """Return the experiment of a grammar, on Ray unless `more` says otherwise."""
    return read_experiment(game, {**COMMON, **GAMES[game], "rounds": rounds, **more})


def played(faults: list[Fault], folder: Path, rounds: int) -> Tally:
    """Play runs of the four grammars until all faults have happened. Compare each run with its undisturbed run."""
    tally, undisturbed, number = Tally(), {}, 0
    while faults:
        game = list(GAMES)[number % len(GAMES)]
        if game not in undisturbed:
            inline = experiment_of(game, rounds, executor="inline")
            undisturbed[game] = run_experiment(inline, folder / f"undisturbed-{game}").folder
        before = len(tally.struck)
        now, later = faults[:AT_ONCE], faults[AT_ONCE:]
        faults = [*disturbed(game, now, folder / f"{number}-{game}", rounds, tally), *later]
        check(folder / f"{number}-{game}", undisturbed[game], rounds, tally)
        print(f"run {number} ({game}): {len(tally.struck) - before} faults, {len(faults)} left", flush=True)
        number += 1
        if tally.wrong:
            break
    tally.runs = number
    return tally


def disturbed(game: str, faults: list[Fault], folder: Path, rounds: int, tally: Tally) -> list[Fault]:
    """Play one run with faults, and resume it after each loss of its head or driver. Return the faults left."""
    table, left, log = folder.with_suffix(".toml"), folder.with_suffix(".faults"), folder.with_suffix(".log")
    table.write_text(toml(experiment_of(game, rounds).model_dump(exclude_none=True)))
    while True:
        write_faults(left, faults)
        command = [sys.executable, "-m", "benchmarks.chaos.subject", *map(str, (folder, table, left, log))]
        with folder.with_suffix(".out").open("a") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
            try:
                code = process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                tally.wrong.append(f"{folder.name}: the run did not end within {_SECONDS:g} s")
                code = 0
        entries = read_log(log)
        struck = [entry for entry in entries if entry["event"] == "struck"]
        done = {entry["fault"] for entry in struck}
        faults, before = [fault for fault in faults if fault.number not in done], faults
        tally.wrong += [f"{folder.name}: {entry}" for entry in entries if entry["event"] == "not recovered"]
        tally.wrong += leftovers(entries)
        if code == 0 or tally.wrong:
            tally.struck += struck
            return faults
        last = next((fault for fault in before if struck and fault.number == struck[-1]["fault"]), None)
        if last is None or last.role not in ENDS:
            tally.wrong.append(f"{folder.name}: exit code {code} after {struck[-1:]}")
            tally.struck += struck
            return faults
        tally.resumes += 1


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


def check(folder: Path, undisturbed: Path, rounds: int, tally: Tally) -> None:
    """Compare a run's last states with those of its undisturbed run. Check that its history has each round once."""
    last = f"checkpoints/round-{rounds:09d}"
    if not (folder / EXPERIMENT).exists() or tally.wrong:
        return
    if not same_states(load_states(folder / last), load_states(undisturbed / last)):
        tally.wrong.append(f"{folder.name}: other numbers than the undisturbed run")
    history = read_history(folder / HISTORY)
    counted = [round for each in committed(history) for round in each]
    if counted != list(range(rounds)):
        tally.wrong.append(f"{folder.name}: the committed history has {len(counted)} rounds, not each once")
    tally.recoveries += [entry["seconds"] for entry in history if entry["event"] == "recovered"]


def report(tally: Tally, settings: dict[str, Any]) -> str:  # Any: numbers
    """Return the section of RESULTS.md."""
    kinds = Counter((entry["victim"], entry["signal"]) for entry in tally.struck)
    roles = Counter()
    for (victim, signal), count in kinds.items():
        own = victim if victim in (*ENDS, "coordinator") else "a worker"
        roles[own, f"SIG{signal}"] += count
    moments = Counter(entry["moment"] for entry in tally.struck)
    lines = [[f"{role}, {signal}", count] for (role, signal), count in sorted(roles.items())]
    lines += [[f"moment: {moment}", count] for moment, count in sorted(moments.items())]
    slowest = max(tally.recoveries, default=0.0)
    return (
        f"`python -m benchmarks.chaos --faults {settings['faults']} --seed {settings['seed']}`: {len(tally.struck)} "
        f"faults in {tally.runs} runs of {', '.join(GAMES)} ({machine()}). The runs recovered {len(tally.recoveries)} "
        f"times by themselves (the longest regrouping took {slowest:.1f} s) and were resumed {tally.resumes} times "
        f"after the loss of driver, control store or raylet. Things that went wrong: {len(tally.wrong)}. Final states "
        f"bitwise those of the undisturbed runs, and each round once in the committed history.\n\n"
        f"{table(['faults', 'number'], lines)}"
    )


def main(**settings: int) -> int:
    """Play all runs, print the report, and return the exit code: 1 if anything went wrong."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        tally = played(drawn(settings["faults"], settings["seed"]), Path(folder), settings["rounds"])
        print(report(tally, settings), *tally.wrong, sep="\n")
        if tally.wrong:
            for each in sorted(Path(folder).glob("*.out"))[-1:]:
                print(each.read_text()[-6000:])
            return 1
        if settings["faults"] >= 200:
            write_section("Chaos", report(tally, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(**options(__doc__, faults=200, seed=0, rounds=3000)))
