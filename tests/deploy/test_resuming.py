"""A run resumes on Ray, or from Ray inline, under other placements, with the numbers of an undisturbed run."""

import json
import shutil
from pathlib import Path

import pytest

from antiphon.coordinator.checkpoint import load_states
from antiphon.coordinator.plan.assignment import for_any_placement
from antiphon.experiments.load import read_experiment
from antiphon.grammars.states import same_states
from antiphon.runs.resume import resume_experiment
from antiphon.runs.run import run_experiment

COMMON = {"rounds": 9, "rounds_per_report": 3, "checkpoint_every": 3, "keep_checkpoints": 9, "order": "gpipe"}
GAMES = {
    "backprop": {"backprop.widths": [8], "backprop.batch": 16},
    "gan": {"gan.batch": 8, "gan.widths": [8]},
    "kickback": {"kickback.batch": 16},
    "dac": {"dac.widths": [4], "dac.batch": 4, "dac.envs": 2, "dac.warmup": 4, "dac.learn_from": 3}
    | {"dac.keywords.max_episode_steps": 5, "evaluation.episodes": 1},
}


def end(folder: Path) -> dict:
    states = for_any_placement(load_states(folder / "checkpoints/round-000000009"))
    return {name: state for name, state in states.items() if not name.endswith("@agent")}


def last_evaluation(folder: Path) -> dict:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return next(each["evaluation"] for each in records if each["round"] == 8)


@pytest.mark.parametrize("game", [pytest.param(game, marks=[pytest.mark.slow] * (game != "dac")) for game in GAMES])
def test_a_run_goes_on_anywhere(ray_is_up, tmp_path, game):
    given = {**COMMON, **GAMES[game]}
    whole = run_experiment(read_experiment(game, given), tmp_path / "whole").folder
    player = read_experiment(game, given).build().query.players[-1].name
    # The whole run is not evaluated while it plays.
    apart = {"executor": "ray", "evaluation.every": 2, f"placement.of.{player}.remote_agent": {}}
    shutil.copytree(whole, tmp_path / "onto")
    resume_experiment(tmp_path / "onto", apart, at=3)  # from inline onto Ray, one agent on another worker
    assert same_states(end(whole), end(tmp_path / "onto"))
    on_ray = last_evaluation(tmp_path / "onto")
    resume_experiment(tmp_path / "onto", {"evaluation.every": 2}, at=6)  # from there back inline
    assert same_states(end(whole), end(tmp_path / "onto"))
    assert last_evaluation(tmp_path / "onto") == on_ray
    resume_experiment(tmp_path / "onto", {"executor": "ray"}, at=3, placement="together")
    assert same_states(end(whole), end(tmp_path / "onto"))
