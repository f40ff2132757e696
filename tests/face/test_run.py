"""A run leaves what it takes to repeat, resume and judge it."""

import json
import re
import tomllib

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from antiphon.experiments.load import read_experiment
from antiphon.runs.evaluation import evaluate_folder
from antiphon.runs.run import run_experiment


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def untimed(folder):
    return [{key: record[key] for key in ("round", "losses", "reports", "settings")} for record in records(folder)]


@pytest.fixture
def done(antiphon, place, tiny_dac):
    told = antiphon("run", *tiny_dac, "--out=mine")
    assert (told.code, told.error) == (0, "")
    return told


def test_the_folder_holds_experiment_metrics_checkpoints_and_summary(done, place):
    folder = place / "mine"
    assert [path.name for path in sorted(folder.iterdir()) if "tfevents" not in path.name] == [
        "checkpoints",
        "experiment.toml",
        "metrics.jsonl",
        "summary.json",
    ]
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["round"], len(summary["evaluation"]["figures"])) == ("finished", 12, 2)


def test_there_is_a_record_of_the_first_round_and_of_every_batch(done, place):
    assert [record["round"] for record in records(place / "mine")] == [1, 5, 10, 12]
    assert [sorted(record["losses"]) for record in records(place / "mine")] == [[], ["BGE"], ["BGE"], ["BGE"]]
    last = records(place / "mine")[-1]["reports"]["Nature"]
    assert (last["env_steps"], last["replay_size"], last["episodes"]) == (12, 12, 2)


def test_tensorboard_reads_the_same_figures(done, place):
    events = EventAccumulator(str(place / "mine")).Reload()
    players = {f"{name}/{figure}" for name in ("Actor", "Critic", "Deviator") for figure in ("gradient_norm", "lr")}
    named = {"Critic/mean_q", "Deviator/norm_of_g", "Nature/replay_size", "Nature/episodes", "sigma"}
    assert players | named <= set(events.Tags()["scalars"])
    told = [(event.step, event.value) for event in events.Scalars("losses/BGE")]
    assert told == [
        (record["round"], pytest.approx(record["losses"]["BGE"]))
        for record in records(place / "mine")
        if record["losses"]
    ]


def test_only_the_newest_checkpoints_stay(done, place):
    found = sorted(path.name for path in (place / "mine" / "checkpoints").iterdir())
    assert found == ["round-000000010", "round-000000012"]


def test_the_last_lines_tell_the_folder_and_the_evaluation(done, place):
    *_, spread, folder, line = done.out.splitlines()
    assert spread.startswith("return of single episodes: standard deviation ")
    assert folder == "run folder: mine"
    assert line == f"evaluation return: {evaluate_folder(place / 'mine').mean:.1f} over 2 episodes"


def test_evaluate_tells_what_run_told(antiphon, done):
    told = antiphon("evaluate", "mine")
    assert (told.code, told.error) == (0, "")
    assert told.out.splitlines()[-1] == done.out.splitlines()[-1]


def test_evaluate_takes_another_number_of_episodes(antiphon, done):
    assert antiphon("evaluate", "mine", "--episodes=3").out.endswith(" over 3 episodes\n")


def test_a_run_is_repeated_bit_by_bit_from_its_own_experiment(antiphon, done, place):
    assert antiphon("run", "mine/experiment.toml", "--out=again").code == 0
    assert untimed(place / "again") == untimed(place / "mine")
    assert (place / "again/experiment.toml").read_text() == (place / "mine/experiment.toml").read_text()
    assert (place / "again/checkpoints/round-000000012/Actor.safetensors").read_bytes() == (
        place / "mine/checkpoints/round-000000012/Actor.safetensors"
    ).read_bytes()


def test_another_seed_plays_another_run(antiphon, done, place, tiny_dac):
    assert antiphon("run", *tiny_dac, "--seed=1", "--out=other").code == 0
    assert untimed(place / "other") != untimed(place / "mine")


def test_the_experiment_is_written_with_nothing_left_to_defaults(done, place):
    written = tomllib.loads((place / "mine/experiment.toml").read_text())
    assert written["dac"]["keywords"] == {"max_episode_steps": 5}
    assert written["players"]["Deviator"]["arguments"] == {"lr": 0.001}
    assert (written["seed"], written["executor"], written["threads"]) == (0, "inline", 1)


def test_without_out_a_folder_is_named_after_grammar_and_time(antiphon, place, tiny_backprop):
    told = antiphon("run", *tiny_backprop)
    (made,) = (place / "runs").iterdir()
    assert made.name.startswith("backprop-20")
    assert f"run folder: runs/{made.name}\n" in told.out


@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_a_classifier_is_judged_on_the_whole_test_split(antiphon, tiny_backprop, network):
    changes = [f"--set=backprop.network={network}", "--set=backprop.channels=[2]", "--set=backprop.dropout=0.5"]
    told = antiphon("run", *tiny_backprop, *changes, "--out=mine")
    assert (told.code, told.error) == (0, "")
    last = told.out.splitlines()[-1]
    assert re.fullmatch(r"evaluation accuracy: \d+\.\d % over 360 images", last)
    assert antiphon("evaluate", "mine").out.splitlines()[-1] == last


def test_a_users_own_grammar_reports_its_losses(antiphon, place):
    (place / "mygrammar.py").write_text(
        "import antiphon\n"
        "from torch import nn\n"
        "def one(width=8):\n"
        "    layer = antiphon.Factory.of\n"
        "    layers = {'A': layer(nn.Linear, 64, width), 'B': layer(nn.Linear, width, 10)}\n"
        "    return antiphon.backprop(antiphon.digits(16), layers)\n"
    )
    told = antiphon("run", "mygrammar:one", "--rounds=3", "--set", "arguments.width=4", "--out=mine")
    assert (told.code, told.error) == (0, "")
    assert told.out.splitlines()[-1] == "run folder: mine"
    assert list(records(place / "mine")[-1]["losses"]) == ["Loss"]
    again = antiphon("run", "mine/experiment.toml", "--out=again")
    assert (again.code, untimed(place / "again")) == (0, untimed(place / "mine"))
    assert antiphon("evaluate", "mine", "--allow=mygrammar").error == (
        "error: 'mine' is a run of 'mygrammar:one' that has nothing to be judged by; expected grammar 'dac', or "
        "another of the library on data that comes with it. Read its losses in metrics.jsonl, load its checkpoint with "
        "your own code.\n"
    )


def test_a_run_that_fails_in_the_middle_keeps_what_it_wrote(antiphon, place, tiny_dac):
    (place / "brittle.py").write_text(
        "import gymnasium, numpy as np\n"
        "class Brittle(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)\n"
        "    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)\n"
        "    steps = 0\n"
        "    def reset(self, *, seed=None, options=None): return np.zeros(3, np.float32), {}\n"
        "    def step(self, action):\n"
        "        self.steps += 1\n"
        "        if self.steps == 4: raise RuntimeError('it broke')\n"
        "        return np.zeros(3, np.float32), 0.0, False, False, {}\n"
        "gymnasium.register('Brittle-v0', Brittle)\n"
    )
    told = antiphon("run", *tiny_dac, "--set=dac.environment=brittle:Brittle-v0", "--set=dac.keywords={}", "--out=mine")
    assert told.code == 1
    assert told.error == (
        "error: environment 'brittle:Brittle-v0' raised in step 4: expected an observation; RuntimeError was raised: "
        "it broke. Repair the environment, or the actions that it is handed.\n  worker 'inline', round 6\n"
    )
    assert [record["round"] for record in records(place / "mine")] == [1, 5]
    assert json.loads((place / "mine/summary.json").read_text())["status"] == "failed"
    assert antiphon("evaluate", "mine", "--episodes=1").code == 2  # it broke before the first episode's end
    assert (place / "mine/checkpoints/round-000000005/manifest.json").exists()


def test_the_same_from_python(place):
    experiment = read_experiment("backprop", {"rounds": 3, "backprop.widths": [4], "backprop.batch": 8})
    finished = run_experiment(experiment, place / "mine")
    assert (finished.last.round, finished.stopped_by) == (3, 0)
    assert finished.evaluation is not None
    assert finished.evaluation.line.endswith("over 360 images")
