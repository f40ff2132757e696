"""Without Ray's head or its driver a run ends soon and leaves nothing. `resume` gives the same numbers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from antiphon.coordinator.checkpoint import load_states
from antiphon.coordinator.history import HISTORY, committed, read_history
from antiphon.experiments.toml_io import toml
from antiphon.grammars.states import same_states
from antiphon.runs.resume import resume_experiment
from antiphon.runs.run import run_experiment
from benchmarks.chaos.__main__ import experiment_of, leftovers
from benchmarks.chaos.faults import DRIVER, GCS, RAYLET, Fault, read_log, write_faults

ENDLESS = 1_000_000
slow = pytest.mark.slow


def struck(folder: Path, fault: Fault) -> subprocess.CompletedProcess[str]:
    """A run on Ray, in a process of its own, that is struck once."""
    table, faults, log = (folder / name for name in ("experiment.toml", "faults", "log"))
    table.write_text(toml(experiment_of("backprop", ENDLESS).model_dump(exclude_none=True)))
    write_faults(faults, [fault])
    command = [sys.executable, "-P", "-m", "benchmarks.chaos.subject", *map(str, (folder / "run", table, faults, log))]
    place = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.run(command, capture_output=True, text=True, env=place, timeout=300)


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    ("role", "how", "code"),
    [
        (GCS, "KILL", 1),
        pytest.param(DRIVER, "KILL", -signal.SIGKILL, marks=slow),
        pytest.param(DRIVER, "HUP", 128 + signal.SIGHUP, marks=slow),
        pytest.param(RAYLET, "KILL", 1, marks=slow),
        pytest.param(GCS, "STOP", 1, marks=slow),
        pytest.param(RAYLET, "STOP", 1, marks=slow),
    ],
)
def test_the_run_ends_soon_leaves_nothing_and_is_resumed_with_the_same_numbers(tmp_path, role, how, code) -> None:
    began = time.monotonic()
    done = struck(tmp_path, Fault(0, role, how, "response phase", 0.0, 20))
    assert done.returncode == code, done.stderr
    assert time.monotonic() - began < 240
    if role in (GCS, RAYLET):
        assert "the run has lost its Ray" in done.stderr and "antiphon resume" in done.stderr
    entries = read_log(tmp_path / "log")
    assert [entry["event"] for entry in entries] == ["started", "struck"] and not leftovers(entries)
    newest = max((tmp_path / "run" / "checkpoints").glob("round-*/manifest.json")).parent.name
    rounds = int(newest.removeprefix("round-")) + 50
    resume_experiment(tmp_path / "run", {"executor": "inline", "rounds": rounds})
    # While a stopped process is not yet missed, the others play thousands of rounds: one checkpoint of them suffices.
    seldom = {"checkpoint_every": rounds, "rounds_per_report": 500}
    whole = run_experiment(experiment_of("backprop", rounds, executor="inline", **seldom), tmp_path / "whole").folder
    last = f"checkpoints/round-{rounds:09d}"
    assert same_states(load_states(tmp_path / "run" / last), load_states(whole / last))
    counted = [round for each in committed(read_history(tmp_path / "run" / HISTORY)) for round in each]
    assert counted == list(range(len(counted)))
