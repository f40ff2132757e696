"""A run whose numbers are no numbers any more says so and fails; told to go on, it tells the truth."""

import json
import math

import pytest
from hypothesis import given, strategies as st

from antiphon.recipes.common.recipe import Evaluation
from antiphon.runs.metrics import finite, mean

TINY_VAE = ["vae", "--rounds=4", "--set=vae.batch=8", "--set=evaluation.episodes=2"]
WILD = "--set=agent.arguments.lr=1e30"


def strictly(text: str):
    """Parsed as JSON alone: Python's NaN is none."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("grammar", ["backprop", "vae"])
def test_a_value_that_is_not_finite_fails_the_run_and_is_named_with_its_round(antiphon, place, tiny_backprop, grammar):
    arguments = tiny_backprop if grammar == "backprop" else TINY_VAE
    told = antiphon("run", *arguments, WILD, "--out=mine")
    assert told.code == 1
    assert " on worker 'inline' held NaN or infinity in round 1" in told.error
    assert "expected finite numbers" in told.error
    assert "on_nonfinite" in told.error and "learning rate" in told.error
    summary = strictly((place / "mine/summary.json").read_text())
    assert summary["status"] == "failed" and "in round 1" in summary["error"]


def test_parameters_that_are_not_finite_fail_the_run_though_every_loss_was(antiphon, place, tiny_backprop):
    told = antiphon("run", *tiny_backprop, "--rounds=1", "--set=agent.arguments.lr=1e39", "--out=mine")
    assert told.code == 1
    assert "player 'Dense1': its parameter '0.weight', after its move" in told.error and "round 0" in told.error
    assert not (place / "mine").exists()  # nothing was played


@pytest.mark.parametrize("policy", ["warn", "clip", "skip-round"])
def test_a_run_that_is_to_go_on_tells_what_is_known(antiphon, place, tiny_backprop, policy):
    told = antiphon("run", *tiny_backprop, WILD, f"--set=on_nonfinite={policy}", "--out=mine")
    assert told.code == 0 and told.out.count("warning: ") >= 1
    summary = strictly((place / "mine/summary.json").read_text())
    assert summary["status"] == "finished"
    where, first = next(iter(summary["nonfinite"].items()))
    assert first["round"] == 1 and 1 <= first["count"] < summary["round"]
    assert ("Dense1" in summary["skipped"]) == (policy == "skip-round")
    if policy == "warn":
        assert summary["losses"] == {"Loss": None}
    assert strictly((place / "mine/metrics.jsonl").read_text().splitlines()[-1])["nonfinite"] == summary["nonfinite"]
    assert antiphon("evaluate", "mine").code == 0
    assert antiphon("resume", "mine", "--rounds=5").code == 0
    again = strictly((place / "mine/summary.json").read_text())["nonfinite"][where]
    assert again["round"] == 1 and again["count"] >= first["count"]


NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1)


@given(NUMBERS)
def test_figures_of_any_numbers_are_told(values):
    evaluation = Evaluation("return", "episodes", tuple(values))
    for figure in (mean(values), evaluation.mean, evaluation.deviation):
        assert math.isnan(figure) or all(map(math.isfinite, values))
    assert "evaluation return" in evaluation.line
    strictly(json.dumps(finite({"figures": values, "more": {"mean": mean(values)}}), allow_nan=False))
