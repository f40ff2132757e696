"""Environments that end nowhere, hang, die or are unbounded, as a user of the command line meets them."""

import json
import os
import re
import signal

import gymnasium
import pytest

from antiphon.runs.interrupts import NOTICE
from rigs.environments import Reach, Tiles

LINES = """
import gymnasium
from rigs.environments import Misbehaving
gymnasium.register("line-v0", entry_point=Misbehaving, max_episode_steps=5)
gymnasium.register("hangs-v0", entry_point=Misbehaving, kwargs={"fault": "hang"})
"""


@pytest.fixture
def registered():
    """Register classes under `tested/`, for one test."""
    names = []

    def register(**classes):
        for name, entry in classes.items():
            names.append(f"tested/{name}-v0")
            gymnasium.register(names[-1], entry_point=entry)

    yield register
    for name in names:
        del gymnasium.registry[name]


def summary(place):
    return json.loads((place / "mine/summary.json").read_text())


def test_an_environment_without_a_time_limit_is_trained_and_evaluated(antiphon, registered, place, tiny_dac):
    registered(Endless=Tiles)
    changes = [each for each in tiny_dac if "keywords" not in each]
    told = antiphon(
        "run", *changes, "--set=dac.environment=tested/Endless-v0", "--set=evaluation.max_steps=7", "--out=mine"
    )
    assert (told.code, told.error) == (0, "")
    assert re.search(r"^evaluation return: .* over 2 episodes, 2 of them cut at evaluation.max_steps$", told.out, re.M)
    assert summary(place)["evaluation"]["cut"] == 2
    again = antiphon("evaluate", "mine", "--episodes=3", "--max-steps=2")
    assert "over 3 episodes, 3 of them cut" in again.out


def test_an_action_of_any_bounds_reaches_its_best(antiphon, registered, place):
    registered(Reach=Reach)
    changes = ["environment='tested/Reach-v0'", "gamma=0.0", "envs=16", "batch=64", "capacity=256", "warmup=0"]
    changes += ["learn_from=8", "act_every=1", "widths=[16]", "reward_scale=20.0"]
    changes += ["sigma_start=0.5", "sigma_end=0.3", "sigma_rounds=1000"]
    rates = ["--set=agent.arguments.lr=0.01", "--set=players.Actor.arguments.lr=0.003"]
    told = antiphon("run", "dac", *(f"--set=dac.{each}" for each in changes), *rates, "--rounds=1000", "--out=mine")
    assert (told.code, told.error) == (0, "")
    # Minus the squared distance from (1, 5, -5, 5); an Actor that ends in tanh gets -48 at best.
    assert -4 < summary(place)["evaluation"]["mean"] <= 0


def test_one_interrupt_for_all_processes_ends_a_run_with_a_checkpoint(start, await_line, place, tiny_dac):
    (place / "lines.py").write_text(LINES)
    changes = [each for each in tiny_dac if "keywords" not in each]
    changes += ["--set=dac.environment=lines:line-v0", "--set=dac.vectorization=async", "--set=rounds_per_report=20"]
    process = start("run", *changes, "--rounds=1000000000", "--out=mine", start_new_session=True)
    await_line(process, "round 1/")
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error.encode()) == (130, NOTICE)
    assert summary(place)["status"] == "interrupted"
    assert (place / f"mine/checkpoints/round-{summary(place)['round']:09d}/manifest.json").exists()


@pytest.mark.slow
def test_an_environment_that_hangs_is_ended_by_a_second_interrupt(start, place, tiny_dac):
    (place / "lines.py").write_text(LINES)
    changes = [each for each in tiny_dac if "keywords" not in each]
    changes += ["--set=dac.environment=lines:hangs-v0", "--set=dac.vectorization=async", "--set=dac.deadline=600"]
    process = start(
        "run", *changes, "--rounds=1000", "--set=rounds_per_report=1000", "--out=mine", start_new_session=True
    )
    while not (place / "mine/metrics.jsonl").exists():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None and process.stderr.read(len(NOTICE)).encode() == NOTICE
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "aborted\n")
