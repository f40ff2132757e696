"""Evaluations during training: they change no number, keep the best checkpoint, and end a run early."""

import json
from pathlib import Path

import pytest

from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.experiments.load import read_experiment
from antiphon.grammars.states import same_states
from antiphon.runs.evaluation import evaluate_folder
from antiphon.runs.resume import resume_experiment
from antiphon.runs.run import run_experiment

TINY = {"rounds": 12, "rounds_per_report": 2, "checkpoint_every": 12, "keep_checkpoints": 1, "evaluation.episodes": 2}
DAC = {"dac.widths": [4], "dac.batch": 4, "dac.envs": 2, "dac.warmup": 4, "dac.learn_from": 3}
DAC |= {"dac.keywords.max_episode_steps": 5, "dac.normalize_observations": True}
LAST = "checkpoints/round-000000012"


def run(folder: Path, **evaluation) -> Path:
    changes = {f"evaluation.{key}": value for key, value in evaluation.items()}
    return run_experiment(read_experiment("dac", {**TINY, **DAC, **changes}), folder).folder


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run that is evaluated every four rounds."""
    return run(tmp_path_factory.mktemp("evaluated") / "run", every=4)


def test_a_run_with_evaluations_is_the_run_without_them(folder, tmp_path):
    plain = run(tmp_path / "plain")
    assert same_states(load_states(plain / LAST), load_states(folder / LAST))
    for one, other in zip(records(plain), records(folder), strict=True):
        assert [one[key] for key in ("round", "losses", "reports")] == [
            other[key] for key in ("round", "losses", "reports")
        ]


def test_evaluations_between_the_batches_of_a_report_change_no_number_either(folder, tmp_path):
    often = run(tmp_path / "often", every=1)
    assert same_states(load_states(often / LAST), load_states(folder / LAST))
    assert [bool(record["evaluation"]) for record in records(often)] == [True] * 12


def test_each_evaluation_is_that_of_the_players_at_its_round_and_the_best_checkpoint_is_kept(folder):
    told = {record["round"]: record["evaluation"] for record in records(folder) if record["evaluation"]}
    assert list(told) == [4, 8, 12]
    best = max(told, key=lambda round: told[round]["score"])
    kept = sorted(int(path.name[6:]) for path in (folder / "checkpoints").iterdir())
    assert kept == sorted({best, 12})
    experiment = read_experiment(folder / "experiment.toml")
    recipe, own = experiment.recipe, experiment.evaluation.during_training
    assert recipe is not None and recipe.evaluate is not None
    for round in kept:
        at = folder / f"checkpoints/round-{round:09d}"
        found = recipe.evaluate(experiment.table, own, experiment.build(), load_states(at))
        assert told[round]["mean"] == found.mean == read_manifest(at).metrics["evaluation/mean"]
    assert set(own_seeds(own)).isdisjoint(own_seeds(experiment.evaluation))
    assert evaluate_folder(folder, best=True) == recipe.evaluate(
        experiment.table,
        experiment.evaluation,
        experiment.build(),
        load_states(folder / f"checkpoints/round-{best:09d}"),
    )


def own_seeds(settings) -> range:
    return range(settings.first_seed, settings.first_seed + settings.episodes)


@pytest.mark.parametrize(
    ("given", "rounds", "why"),
    [
        ({"stop_at": -1e6}, 4, "evaluation.stop_at = -1e+06"),
        ({"stop_at": 1e6}, 12, ""),
        ({"patience": 1, "max_steps": 1}, None, "evaluation.patience = 1"),
    ],
)
def test_a_run_ends_early_by_its_evaluations_and_can_be_resumed_without_them(folder, tmp_path, given, rounds, why):
    early = run(tmp_path / "early", every=4, **given)
    summary = json.loads((early / "summary.json").read_text())
    assert (
        summary["status"] == "finished" and why in summary.get("ended_by", "") and bool(why) == ("ended_by" in summary)
    )
    ended = summary["round"]
    assert ended == (rounds or next(each["round"] for each in records(early) if each["best"].get("since") == 1))
    if ended < 12:
        resume_experiment(early, {"evaluation.stop_at": None, "evaluation.patience": None})
    assert same_states(load_states(early / LAST), load_states(folder / LAST))


def test_an_evaluation_that_fails_ends_the_run_with_a_checkpoint_of_its_round(antiphon, place, tiny_dac):
    (place / "frail.py").write_text(
        "import gymnasium\n"
        "class Frail(gymnasium.Wrapper):\n"
        "    def __init__(self): super().__init__(gymnasium.make('Pendulum-v1', max_episode_steps=5))\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        if seed == 1010001: raise RuntimeError('not this one')\n"
        "        return super().reset(seed=seed, options=options)\n"
    )
    changes = [each for each in tiny_dac if "keywords" not in each]
    told = antiphon("run", *changes, "--set=dac.environment=frail:Frail", "--set=evaluation.every=4", "--out=mine")
    assert told.code == 1 and "not this one" in told.error and "in the evaluation after 4 rounds" in told.error
    assert records(place / "mine")[-1]["round"] == 4
    assert (place / "mine/checkpoints/round-000000004/manifest.json").exists()
    assert json.loads((place / "mine/summary.json").read_text())["status"] == "failed"


def test_the_lines_tell_each_evaluation_and_the_table_the_best(antiphon, place, tiny_dac):
    told = antiphon("run", *tiny_dac, "--set=evaluation.every=6", "--out=mine")
    assert (told.code, told.error) == (0, "")
    means = [record["evaluation"]["mean"] for record in records(place / "mine") if record["evaluation"]]
    lines = [line for line in told.out.splitlines() if line.startswith("evaluation after ")]
    assert [line.split(":")[0] for line in lines] == ["evaluation after 6 rounds", "evaluation after 12 rounds"]
    assert f"{means[0]:.4g} over 2" in lines[0]
    assert f"{max(means):.6g} after " in next(
        line for line in told.out.splitlines() if line.startswith("best evaluation")
    )
