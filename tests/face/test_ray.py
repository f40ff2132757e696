"""The same run on Ray: named actors, the same numbers, nothing on standard error, a clean end on Ctrl-C."""

import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from antiphon.runs.interrupts import NOTICE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch) -> Iterator[None]:
    """Whatever a test starts keeps its temporary files in one folder, inherited by every process below it: at the end
    the folder is empty (so no session folder and no socket file is left) and no process knows of it any more."""
    folder = tempfile.mkdtemp(prefix="a", dir=tempfile.gettempdir())  # short, for sockets are named in it
    monkeypatch.setenv("TMPDIR", folder)
    yield
    deadline = time.monotonic() + 15
    while left(folder) and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    assert left(folder) == []
    shutil.rmtree(folder)


def left(folder: str) -> list[str]:
    """Files in the folder, and processes whose environment names it."""
    # torch makes an empty cache folder, one per user, as soon as fake tensors are imported.
    found = [str(path) for path in Path(folder).iterdir() if not path.name.startswith("torchinductor_")]
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if folder.encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it ended while we looked
    return found


def test_what_is_left_is_found(start) -> None:
    folder = os.environ["TMPDIR"]
    process = start("run", "dac", "--rounds=1000000", "--out=mine")
    assert process.stdout.readline()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        assert len(left(folder)) == 2
    os.unlink(f"{folder}/socket")
    process.kill()
    process.wait()
    assert left(folder) == []


def actors(process, until="round 1/"):
    """Name, kind, actor and process of everyone in the table that opens a run."""
    rows = []
    for line in process.stdout:
        if line.startswith(until):
            return rows
        rows.append(line.split())
    raise AssertionError(process.stderr.read())


def test_everyone_is_an_actor_of_its_own_and_plays_the_same_numbers(start, antiphon, place, tiny_dac):
    process = start(
        "run", *tiny_dac, "--executor=ray", "--set=placement.of.Critic.remote_agent.worker=Apart", "--out=on-ray"
    )
    cast = {row[0]: (row[1], row[2], int(row[3])) for row in actors(process)[2:]}
    out, error = process.communicate(timeout=180)
    assert (process.returncode, error) == (0, "")
    agent = cast.pop("Critic@agent")
    assert agent[:2] == ("agent", "Apart")
    assert {name: actor for name, (_, actor, _) in cast.items()} == {name: name for name in cast}
    assert sorted(cast) == ["Actor", "BGE", "Critic", "Deviator", "Nature", "Noise"]
    assert len({pid for _, _, pid in cast.values()} | {agent[2]}) == 7
    assert antiphon("run", *tiny_dac, "--out=inline").out.splitlines()[-1] == out.splitlines()[-1]
    losses = [
        [json.loads(line)["losses"] for line in (place / folder / "metrics.jsonl").read_text().splitlines()]
        for folder in ("on-ray", "inline")
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGHUP, 129), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_to_everyone_ends_the_run_after_its_batch(start, place, tiny_dac, number, code):
    """As a terminal does for Ctrl-C, and when it is closed; `timeout` does so with SIGTERM."""
    endless = ["--rounds=1000000000", "--set=rounds_per_report=20"]
    process = start("run", *tiny_dac, *endless, "--executor=ray", "--out=mine", start_new_session=True)
    pids = [int(row[3]) for row in actors(process)[2:]]
    os.killpg(process.pid, number)
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error.encode()) == (code, NOTICE)
    assert json.loads((place / "mine/summary.json").read_text())["status"] == "interrupted"
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []


def test_without_recoveries_a_worker_that_dies_fails_the_run_and_is_named(start, place, tiny_dac):
    endless = ["--rounds=1000000000", "--set=rounds_per_report=20", "--set=max_recoveries=0"]
    process = start("run", *tiny_dac, *endless, "--executor=ray", "--out=mine")
    pids = {row[0]: int(row[3]) for row in actors(process)[2:]}
    os.kill(pids["Critic"], signal.SIGKILL)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert error.startswith("error: worker 'Critic' died in round ")
    assert json.loads((place / "mine/summary.json").read_text())["status"] == "failed"


def test_the_next_start_removes_what_a_killed_run_has_left(start, place, tiny_dac):
    endless = ["--rounds=1000000000", "--set=rounds_per_report=1", "--set=checkpoint_every=20"]
    process = start("run", *tiny_dac, *endless, "--executor=ray", "--out=mine")
    actors(process)
    while not list(place.glob("mine/checkpoints/*/manifest.json")):
        assert process.stdout.readline()
    process.kill()
    process.communicate()
    assert left(os.environ["TMPDIR"])
    newest = max(int(path.parent.name[6:]) for path in place.glob("mine/checkpoints/*/manifest.json"))
    again = start("resume", "mine", f"--rounds={newest + 5}")
    _, error = again.communicate(timeout=180)
    assert (again.returncode, error) == (0, "")  # what is left now is found by the fixture
