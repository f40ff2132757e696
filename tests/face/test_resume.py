"""A run that was interrupted and resumed is the run that was not: parameters, metrics, events, checkpoints."""

import functools
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.experiments.load import read_experiment
from antiphon.grammars.states import same_states
from antiphon.runs.resume import resume_experiment
from antiphon.runs.run import run_experiment

COMMON = {"rounds": 12, "rounds_per_report": 2, "checkpoint_every": 4, "keep_checkpoints": 9}
GAMES = {
    "backprop": {"backprop.widths": [8], "backprop.batch": 16, "agent.scheduler": "StepLR"}
    | {"agent.scheduler_arguments": {"step_size": 3}},
    "gan": {"gan.batch": 8, "gan.widths": [8]},
    "kickback": {"kickback.batch": 16},
    "dac": {"dac.widths": [4], "dac.batch": 4, "dac.envs": 2, "dac.warmup": 4, "dac.learn_from": 3}
    | {"dac.keywords.max_episode_steps": 5, "evaluation.episodes": 2, "evaluation.every": 4, "dac.stagger": 5},
}


def metrics(folder: Path) -> list[dict]:
    """The records of a run, without those parts that depend on the clock."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in each.items() if "second" not in key} for each in records]


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """All scalars that TensorBoard shows."""
    shown = EventAccumulator(str(folder)).Reload()
    tags = [tag for tag in shown.Tags()["scalars"] if "second" not in tag]
    return {tag: [(each.step, each.value) for each in shown.Scalars(tag)] for tag in tags}


def same_run(one: Path, other: Path) -> bool:
    ends = [load_states(folder / "checkpoints/round-000000012") for folder in (one, other)]
    return same_states(*ends) and metrics(one) == metrics(other) and events(one) == events(other)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a run of each game that was not interrupted."""

    @functools.cache
    def run(game: str) -> Path:
        experiment = read_experiment(game, {**COMMON, **GAMES[game]})
        return run_experiment(experiment, tmp_path_factory.mktemp(game) / "whole").folder

    return run


@pytest.fixture
def whole(runs) -> Path:
    return runs("dac")


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("at", [4, 8, 12])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(runs, tmp_path, game, at):
    whole = runs(game)
    shutil.copytree(whole, tmp_path / "again")
    finished = resume_experiment(tmp_path / "again", at=at)
    assert finished.last.round == 12
    assert same_run(whole, tmp_path / "again")
    rounds = [path.name[-2:] for path in sorted((tmp_path / "again/checkpoints").iterdir())]
    assert rounds == ["04", "08", "12"]


def test_a_run_that_is_given_more_rounds_goes_on(whole, tmp_path):
    experiment = read_experiment(str(whole / "experiment.toml"), {"rounds": 8})
    short = run_experiment(experiment, tmp_path / "first").folder
    resume_experiment(short, {"rounds": 12})
    assert same_run(whole, short)


def test_a_killed_run_goes_on_by_one_command(whole, start, antiphon, place):
    each = "--set=rounds_per_report=1"
    often = ["--set=checkpoint_every_seconds=0.02", "--set=checkpoint_every=1000000000", "--rounds=1000000000"]
    process = start("run", str(whole / "experiment.toml"), *often, each, "--out=mine")
    while len(list(place.glob("mine/checkpoints/*/manifest.json"))) < 2:
        assert process.poll() is None
        threading.Event().wait(0.01)
    process.kill()
    process.communicate(timeout=60)
    end = max(int(path.parent.name[6:]) for path in place.glob("mine/checkpoints/*/manifest.json")) + 5
    assert antiphon("resume", "mine", f"--rounds={end}").code == 0
    assert antiphon("run", str(whole / "experiment.toml"), each, f"--rounds={end}", "--out=straight").code == 0
    ends = [load_states(f"{name}/checkpoints/round-{end:09d}") for name in ("mine", "straight")]
    assert same_states(*ends) and metrics(place / "mine") == metrics(place / "straight")


def test_only_one_process_plays_in_a_folder(whole, start, await_line, antiphon):
    process = start("run", str(whole / "experiment.toml"), "--set=rounds=1000000", "--out=mine")
    await_line(process, "round 1/")
    told = antiphon("resume", "mine")
    assert told.code == 2 and "'mine' is in use by another process; expected a run that has ended" in told.error
    process.kill()


@pytest.mark.parametrize(
    "change, told",
    [
        ("agent.arguments.lr=0.5", "key 'agent.arguments.lr' was 0.001 in the run; a change to 0.5 arrived"),
        ("seed=1", "key 'seed' was 0 in the run; a change to 1 arrived"),
        ("threads=2", "key 'threads' was 1 in the run; a change to 2 arrived"),
    ],
)
def test_what_would_be_another_run_is_refused_by_name(whole, antiphon, change, told):
    before = sorted((path, path.stat().st_mtime_ns) for path in whole.rglob("*"))
    answer = antiphon("resume", str(whole), f"--set={change}")
    assert answer.code == 2 and told in answer.error and "Leave the key as it is" in answer.error
    assert before == sorted((path, path.stat().st_mtime_ns) for path in whole.rglob("*"))


def test_what_cannot_be_resumed_is_refused_and_left_as_it_was(whole, tmp_path, antiphon):
    shutil.copytree(whole, tmp_path / "mine")
    state = next((tmp_path / "mine/checkpoints/round-000000012").glob("*.safetensors"))
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(data)
    before = sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for arguments, expected in (
        ([], f"file {state.name!r} is damaged or from another checkpoint"),
        (["--at=7"], "expected a complete checkpoint of round 7, found those of the rounds 4, 8, 12"),
        (["--at=8", "--seed=2"], "No such option"),
    ):
        told = antiphon("resume", str(tmp_path / "mine"), *arguments)
        assert told.code == 2 and expected in told.error
    assert before == sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert antiphon("resume", str(tmp_path / "mine"), "--at=8").code == 0
    assert same_run(whole, tmp_path / "mine")


def test_a_checkpoint_of_another_experiment_is_refused(whole, tmp_path, antiphon):
    shutil.copytree(whole, tmp_path / "mine")
    file = tmp_path / "mine/experiment.toml"
    file.write_text(file.read_text().replace("lr = 0.001", "lr = 0.002"))
    told = antiphon("resume", str(tmp_path / "mine"))
    assert told.code == 2 and "is of another run: expected experiment '" in told.error


def test_the_best_checkpoint_is_kept(tmp_path):
    given = {**COMMON, **GAMES["backprop"], "keep_checkpoints": 1, "keep_best": "Nature/epoch", "rounds": 40}
    folder = run_experiment(read_experiment("backprop", given), tmp_path / "run").folder
    kept = [read_manifest(path) for path in sorted((folder / "checkpoints").iterdir())]
    assert [each.round for each in kept] == [4, 40]
    assert kept[0].metrics["Nature/epoch"] < kept[1].metrics["Nature/epoch"]


def test_a_checkpoint_may_lie_elsewhere(tmp_path, place):
    given = {**COMMON, **GAMES["backprop"], "checkpoint_folder": f"memory://{tmp_path}/there"}
    folder = run_experiment(read_experiment("backprop", given), tmp_path / "run").folder
    assert not (folder / "checkpoints").exists()
    last = resume_experiment(folder, {"rounds": 20}).last
    assert last.round == 20 and os.listdir(place) == ["run"]
