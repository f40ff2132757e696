"""The key `on_failure`: in one process and on Ray, beside the player and apart from it, a failure costs one move."""

import json

import pytest

FLAKY = '''
"""SGD of one's own, by torch, that fails in its sixth move."""

import torch


class Flaky:
    def __init__(self, parameters, how="raise", lr=0.1):
        self.parameters, self.how, self.lr, self.moves = parameters, how, lr, 0

    def hear(self, response):
        self.response = response

    def move(self):
        self.moves += 1
        if self.moves == 6 and self.how == "raise":
            raise RuntimeError("not today")
        for parameter, each in zip(self.parameters, self.response):
            parameter.sub_(each, alpha=self.lr)
            if self.moves == 6:
                parameter.fill_(float(self.how))
        return self.parameters

    def state(self):
        return {"moves": self.moves}

    def load(self, state):
        self.moves = state["moves"]
'''
RAISED = (
    "agent 'flaky:Flaky' of player 'Dense1' raised RuntimeError in move in round 5: not today. Expected the new "
    "parameters. Correct the agent, or its arguments (flaky:Flaky(){policy})."
)
WILD = (
    "agent 'flaky:Flaky' of player 'Dense1' moved in round 5: expected finite numbers, and NaN or infinity arrived for "
    "parameter '0.weight'. Correct the agent; or let it take smaller steps, if its responses were not finite either."
)


@pytest.fixture
def flaky(place, tiny_backprop):
    (place / "flaky.py").write_text(FLAKY)
    return [*tiny_backprop, "--rounds=12", "--set=rounds_per_report=4", "--set=players.Dense1.agent=flaky:Flaky"]


def summary(place, folder="mine"):
    return json.loads((place / folder / "summary.json").read_text())


def test_by_default_the_run_fails_and_says_who_and_when(antiphon, flaky, place):
    told = antiphon("run", *flaky, "--out=mine")
    assert told.code == 1
    assert told.error == f"error: {RAISED.format(policy='')}\n  worker 'inline', round 5\n"
    assert summary(place)["status"] == "failed"


@pytest.mark.parametrize("policy", ["skip", "restart"])
def test_a_move_is_left_out_counted_and_told(antiphon, flaky, place, policy):
    told = antiphon("run", *flaky, "--out=mine", f"--set=players.Dense1.on_failure={policy}")
    reason = RAISED.format(policy=f", on failure {policy}")
    # Built anew after its sixth move, it makes five more in the rounds 6 to 10, and fails again in round 11.
    moves = {"skip": 1, "restart": 2}[policy]
    assert told.code == 0
    assert f"a move of Dense1 was left out in round 5: {reason}\n" in told.out
    assert any(" ".join(line.split()) == f"Dense1: moves left out {moves}" for line in told.out.splitlines())
    assert "Dense1 skipped" in told.out
    lines = [json.loads(line) for line in (place / "mine/metrics.jsonl").read_text().splitlines()]
    assert [line["skipped"].get("Dense1", 0) for line in lines] == [0, 0, 1, moves]
    assert lines[2]["failures"] == {"Dense1": f"round 5: {reason}"}
    assert summary(place)["skipped"] == {"Dense1": moves}


@pytest.mark.parametrize("how", ["nan", "inf", "-inf"])
def test_what_is_not_finite_is_left_out_too(antiphon, flaky, place, how):
    changes = ["--set=players.Dense1.on_failure=skip", f"--set=players.Dense1.arguments.how='{how}'"]
    told = antiphon("run", *flaky, "--out=mine", *changes)
    assert told.code == 0 and summary(place)["failures"] == {"Dense1": f"round 5: {WILD}"}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("policy", "moves", "where"), [("restart", 2, []), ("skip", 1, ["placement.of.Dense1.remote_agent.worker=Apart"])]
)
def test_on_ray_here_or_there_a_failure_costs_the_same(start, flaky, place, policy, moves, where):
    changes = [f"--set={each}" for each in [f"players.Dense1.on_failure={policy}", *where]]
    for executor in ("inline", "ray"):
        process = start("run", *flaky, f"--out={executor}", f"--executor={executor}", *changes)
        _, error = process.communicate()
        assert process.returncode == 0, error
    one, other = (
        {key: summary(place, each)[key] for key in ("skipped", "failures", "losses")} for each in ("inline", "ray")
    )
    assert one == other and one["skipped"] == {"Dense1": moves}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_on_ray_an_agent_apart_that_hangs_ends_the_run_by_its_deadline(start, place, tiny_backprop):
    (place / "asleep.py").write_text(
        FLAKY.replace("class Flaky", "class Asleep").replace(
            'raise RuntimeError("not today")', "import threading; threading.Event().wait()"
        )
    )
    changes = ["players.Dense1.agent=asleep:Asleep", "placement.of.Dense1.remote_agent.worker=Apart", "deadline=12"]
    changes.append("max_recoveries=0")
    process = start("run", *tiny_backprop, "--rounds=12", "--executor=ray", *(f"--set={each}" for each in changes))
    _, error = process.communicate()
    assert process.returncode == 1
    for part in ("worker 'Apart' stalled in round 5", "Apart: Dense1 moves", "deadline"):
        assert part in error
