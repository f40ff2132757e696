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
def test_a_loss_that_is_not_finite_fails_the_run_and_is_named_with_its_round(antiphon, place, tiny_backprop, grammar):
    arguments = tiny_backprop if grammar == "backprop" else TINY_VAE
    told = antiphon("run", *arguments, WILD, "--out=mine")
    assert told.code == 1
    assert "loss 'L" in told.error and "in round 1; expected a finite number" in told.error
    assert "on_nonfinite" in told.error and "learning rate" in told.error
    summary = strictly((place / "mine/summary.json").read_text())
    assert summary["status"] == "failed" and "in round 1" in summary["error"]
    assert None in strictly((place / "mine/metrics.jsonl").read_text().splitlines()[-1])["losses"].values()


def test_parameters_that_are_not_finite_fail_the_run_though_every_loss_was(antiphon, place, tiny_backprop):
    told = antiphon("run", *tiny_backprop, "--rounds=1", "--set=agent.arguments.lr=1e39", "--out=mine")
    assert told.code == 1
    assert "of player 'Dense1' holds NaN or infinity after 1 rounds" in told.error
    assert strictly((place / "mine/summary.json").read_text())["status"] == "failed"


def test_a_run_that_is_to_go_on_tells_what_is_known(antiphon, place, tiny_backprop):
    told = antiphon("run", *tiny_backprop, WILD, "--set=on_nonfinite=continue", "--out=mine")
    assert told.code == 0 and "nan" in told.out
    summary = strictly((place / "mine/summary.json").read_text())
    assert (summary["status"], summary["losses"]) == ("finished", {"Loss": None})
    assert antiphon("evaluate", "mine").code == 0


NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1)


@given(NUMBERS)
def test_figures_of_any_numbers_are_told(values):
    evaluation = Evaluation("return", "episodes", tuple(values))
    for figure in (mean(values), evaluation.mean, evaluation.deviation):
        assert math.isnan(figure) or all(map(math.isfinite, values))
    assert "evaluation return" in evaluation.line
    strictly(json.dumps(finite({"figures": values, "more": {"mean": mean(values)}}), allow_nan=False))
