"""A disk that is full, read-only or gone ends a run as stated, and the last good checkpoint is intact."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from antiphon.coordinator.checkpoint import load_states
from antiphon.coordinator.history import read_history
from antiphon.errors import RoundError
from antiphon.experiments.load import read_experiment
from antiphon.grammars.states import same_states
from antiphon.runs.checkpoints import Checkpoints
from antiphon.runs.resume import resume_experiment
from antiphon.runs.run import Unseen, run_experiment

EXPERIMENT = {
    "rounds": 12,
    "rounds_per_report": 2,
    "checkpoint_every": 4,
    "backprop.widths": [64],
    "keep_checkpoints": 9,
}


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


class At(Unseen):
    """Does something after the batch that ends before a round."""

    def __init__(self, round: int, act: Callable[[], object]) -> None:
        self._round, self._act = round, act

    def played(self, record, folder) -> None:
        if record.round == self._round:
            self._act()


def fill(place: Path, left: int) -> None:
    """Fill a file system until `left` bytes are free."""
    free = os.statvfs(place)
    with contextlib.suppress(OSError):  # a checkpoint that is being written takes room too
        (place / "ballast").write_bytes(b"0" * max(0, free.f_bavail * free.f_bsize - left))


def checkpoints_are_whole(folder: Path) -> list[int]:
    """The rounds of all checkpoints, after each was loaded."""
    found = Checkpoints(folder)
    names = [path.name for path in (folder / "checkpoints").iterdir()]
    assert sorted(names) == [f"round-{round:09d}" for round in found.rounds()]  # and no part of another one
    return [found.load(round)[0].round for round in found.rounds()]


@pytest.mark.parametrize("left", [0, 4096, 20_000, 40_000, 80_000])
def test_a_disk_that_fills_up_ends_the_run_and_it_resumes_when_there_is_room(disk, tmp_path, left):
    experiment = read_experiment("backprop", EXPERIMENT)
    whole = run_experiment(experiment, tmp_path / "whole").folder
    with pytest.raises(RoundError, match="cannot be written: No space left on device"):
        run_experiment(experiment, disk / "run", At(10, lambda: fill(disk, left)))
    assert checkpoints_are_whole(disk / "run")[0] == 4
    (disk / "ballast").unlink()
    resume_experiment(disk / "run")
    ends = [load_states(folder / "checkpoints/round-000000012") for folder in (whole, disk / "run")]
    assert same_states(*ends)


class KilledAndFull(Unseen):
    """After round 6, fill the disk, and kill the worker "Dense1": the next batch has to recover.

    left: free bytes, apart from the last block of history.jsonl, which is full too.
    """

    def __init__(self, disk: Path, left: int) -> None:
        self._disk, self._left, self._process = disk, left, 0

    def started(self, game, experiment) -> None:
        self._process = game.places["Dense1"][1]

    def played(self, record, folder) -> None:
        if record.round == 6:
            while not (folder / "checkpoints/round-000000004/manifest.json").exists():
                time.sleep(0.01)
            block, history = os.statvfs(self._disk).f_bsize, folder / "history.jsonl"
            entry = json.dumps({"event": "padding", "generation": 1, "of": ""})[:-2]
            beyond = (history.stat().st_size + len(entry) + 3) % block
            with history.open("a") as file:
                file.write(f'{entry}{"x" * (block - beyond)}"}}\n')  # the last block of the file is full
            fill(self._disk, self._left)
            os.kill(self._process, signal.SIGKILL)


@pytest.mark.parametrize(("left", "named"), [(0, "history.jsonl"), (8192, "")])
def test_a_disk_that_is_full_while_a_run_recovers_ends_the_run_and_it_resumes(disk, tmp_path, left, named):
    whole = run_experiment(read_experiment("backprop", EXPERIMENT), tmp_path / "whole").folder
    with pytest.raises(RoundError, match=f"{named}.* cannot be written: No space left on device"):
        run_experiment(
            read_experiment("backprop", {**EXPERIMENT, "executor": "ray"}), disk / "run", KilledAndFull(disk, left)
        )
    assert checkpoints_are_whole(disk / "run")[0] == 4
    events = [each["event"] for each in read_history(disk / "run/history.jsonl")]
    assert ("recovered" in events) == (not named)
    (disk / "ballast").unlink()
    resume_experiment(disk / "run", {"executor": "inline"})
    ends = [load_states(folder / "checkpoints/round-000000012") for folder in (whole, disk / "run")]
    assert same_states(*ends)


def test_a_disk_that_is_read_only_is_named_and_nothing_is_lost(disk, antiphon):
    run_experiment(read_experiment("backprop", EXPERIMENT), disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for command in (["run", "backprop", f"--out={disk / 'new'}"], ["resume", str(disk / "run"), "--rounds=20"]):
        told = antiphon(*command)
        assert told.code in (1, 2) and str(disk) in told.error and told.error.count("\n") == 1
        assert "Read-only file system" in told.error or "does not allow it" in told.error
    assert checkpoints_are_whole(disk / "run") == [4, 8, 12]


def removed(folder: Path) -> None:
    moved(folder)  # at once, although a checkpoint may be being written
    shutil.rmtree(folder.with_name("moved"), ignore_errors=True)


def moved(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


def replaced(folder: Path) -> None:
    moved(folder)
    folder.mkdir()


@pytest.mark.parametrize("harm", [removed, moved, replaced])
@pytest.mark.parametrize("round", [2, 4, 10])
def test_a_folder_that_is_gone_is_not_made_again(tmp_path, harm, round):
    folder = tmp_path / "run"
    with pytest.raises(RoundError, match=r"'.*/run.*' cannot be written"):
        run_experiment(read_experiment("backprop", EXPERIMENT), folder, At(round, lambda: harm(folder)))
    assert not folder.exists() or not list(folder.iterdir())
    if harm is moved and round > 4:
        assert Checkpoints(tmp_path / "moved").load(4)[0].round == 4


def test_a_checkpoint_folder_that_is_gone_ends_the_run(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    experiment = read_experiment("backprop", {**EXPERIMENT, "checkpoint_folder": f"file://{there}"})
    with pytest.raises(RoundError, match="cannot be written"):
        run_experiment(experiment, tmp_path / "run", At(6, lambda: (moved(there), there.write_text(""))))
