"""What an agent's failure costs: the run, its move, or its move and its memory; never another's parameters."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents import AgentSpecification, Player
from antiphon.errors import AgentError, ExperimentError
from antiphon.grammars.factory import Factory

LINEAR = Factory.of(nn.Linear, 3, 2)
FINITE = (
    "expected finite numbers, and NaN or infinity arrived for parameter 'bias'. "
    "Correct the agent; or let it take smaller steps, if its responses were not finite either."
)
FITTING = "Return the new parameters as they were lent: in number, order, shape and dtype."


class Gone(BaseException):
    """No Exception."""


LEAVING = {"exits": SystemExit, "closes": GeneratorExit, "goes": Gone}


class Fragile:
    """Goes one unit down, in place, however steep; in its third move it does what its argument says."""

    def __init__(self, parameters: Sequence[Tensor], play: str) -> None:
        self.parameters, self.play, self.moves = parameters, play, 0

    def hear(self, response: Sequence[Tensor]) -> None:
        if self.play == "deaf" and self.moves == 2:
            self.moves += 1
            raise RuntimeError("what?")

    def move(self) -> Any:
        self.moves += 1
        for parameter in self.parameters:
            parameter.sub_(1)
        if self.moves != 3:
            return self.parameters
        weight, bias = self.parameters
        if self.play == "tired":
            raise RuntimeError("not today")
        if self.play in LEAVING:
            raise LEAVING[self.play]("not today")
        bias.fill_({"nan": float("nan"), "infinite": float("inf")}.get(self.play, 0))
        return {"turned": [weight.T, bias], "wide": [weight.double(), bias]}.get(self.play, self.parameters)

    def state(self) -> dict[str, Any]:
        return {"moves": self.moves}

    def load(self, state: dict[str, Any]) -> None:
        self.moves = state["moves"]


FAILURES = {
    "deaf": "raised RuntimeError in hear: what?. Expected it to take every response of its parameters' shapes. ",
    "tired": "raised RuntimeError in move in round 2: not today. Expected the new parameters. ",
    **{
        play: f"raised {kind.__name__} in move in round 2: not today. Expected the new parameters. "
        for play, kind in LEAVING.items()
    },
    "nan": f"moved in round 2: {FINITE}",
    "infinite": f"moved in round 2: {FINITE}",
    "turned": f"moved in round 2: expected float32[2, 3] for parameter 'weight', and float32[3, 2] arrived. {FITTING}",
    "wide": f"moved in round 2: expected float32[2, 3] for parameter 'weight', and float64[2, 3] arrived. {FITTING}",
}


class Sleepy:
    """Goes one unit down; its third move waits for an event, and is then as long as it likes."""

    awake = threading.Event()

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters, self.moves = parameters, 0

    def hear(self, response: Sequence[Tensor]) -> None:
        """Take no notice."""

    def move(self) -> Sequence[Tensor]:
        self.moves += 1
        if self.moves == 3:
            self.awake.wait()
        for parameter in self.parameters:
            parameter.sub_(1)
        return self.parameters

    def state(self) -> dict[str, Any]:
        return {"moves": self.moves}

    def load(self, state: dict[str, Any]) -> None:
        self.moves = state["moves"]


def playing(plays: str, policy: Any, named: Callable[[type], str]) -> Player:
    specification = AgentSpecification.of(agent=named(Fragile), arguments={"play": plays}, on_failure=policy)
    return Player("x", LINEAR, specification, seed=0)


def told(plays: str, specification: AgentSpecification) -> str:
    """The whole sentence; what was raised names the arguments as well."""
    text = f"agent {specification.agent!r} of player 'x' {FAILURES[plays]}"
    raised = plays in ("deaf", "tired", *LEAVING)
    return text + (f"Correct the agent, or its arguments ({specification.description})." if raised else "")


def turn(player: Player, round: int) -> str:
    player.hear([torch.ones_like(parameter) for parameter in player.parameters])
    return player.move(round)


def fallen(player: Player) -> float:
    """How far it went from where its seed put it."""
    started = Player("x", LINEAR, None, seed=0).parameters
    (steps,) = {round(float((a - b).detach().mean()), 4) for a, b in zip(started, player.parameters, strict=True)}
    return steps


@pytest.mark.parametrize("plays", FAILURES)
def test_fail_ends_it_and_installs_nothing(plays, named):
    player = playing(plays, "fail", named)
    assert [turn(player, round) for round in range(2)] == ["", ""]
    with pytest.raises(AgentError) as caught:
        turn(player, 2)
    assert player.specification is not None and str(caught.value) == told(plays, player.specification)
    assert fallen(player) == 2 and player.moves == 2


@pytest.mark.parametrize("policy", ["skip", "restart"])
@pytest.mark.parametrize("plays", FAILURES)
def test_skip_and_restart_cost_one_move_and_say_why(plays, policy, named):
    player = playing(plays, policy, named)
    reasons, ways = [], []
    for round in range(5):
        reasons.append(turn(player, round))
        ways.append(fallen(player))
    assert player.specification is not None
    assert reasons[:3] == ["", "", told(plays, player.specification)]
    # An agent that was built anew counts from one again, and so fails in its third move after that, round 5.
    assert reasons[3:] == ["", ""] and ways == [1, 2, 2, 3, 4] and player.moves == 5
    assert player.state()["agent"] == {"moves": 5 if policy == "skip" else 2}


@pytest.mark.parametrize("method", ["hear", "move", "state", "load"])
def test_ctrl_c_inside_an_agent_stays_ctrl_c(method, named, monkeypatch):
    player = playing("whole", "skip", named)
    state = player.state()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Fragile, method, interrupted)
    with pytest.raises(KeyboardInterrupt):
        turn(player, 0)
        player.state()
        player.load(state)


@pytest.mark.parametrize("where", ["its constructor", "its module"])
def test_an_agent_that_exits_before_it_is_there_is_refused_by_name(where, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    leaving = "import sys\nclass Agent:\n    def __init__(self, parameters): sys.exit(3)\n"
    name = "leaving_at_once" if where == "its module" else "leaving_when_made"
    (tmp_path / f"{name}.py").write_text(leaving + ("sys.exit(3)\n" if where == "its module" else ""))
    with pytest.raises((AgentError, ExperimentError), match=f"{name}:Agent.*SystemExit"):
        AgentSpecification.of(agent=f"{name}:Agent").make("x", [torch.zeros(2)])


def test_a_failure_leaves_no_response_for_the_next_move(named):
    player = playing("deaf", "skip", named)
    for round in range(2):
        turn(player, round)
    player.hear([torch.ones_like(parameter) for parameter in player.parameters])  # raises, which the policy allows
    assert "raised RuntimeError in hear" in turn(player, 2)  # hears again, and does not move
    player.state()  # would be refused between a response and its move


def test_a_player_that_is_loaded_forgets_what_failed_before(named):
    player = playing("deaf", "skip", named)
    state = player.state()
    for round in range(2):
        turn(player, round)
    player.hear([torch.ones_like(parameter) for parameter in player.parameters])
    player.load(state)
    assert turn(player, 0) == "" and fallen(player) == 1


def test_an_agent_that_cannot_be_built_anew_ends_it():
    specification = AgentSpecification.of(agent=f"{__name__}:once", on_failure="restart")
    player = Player("x", LINEAR, specification, seed=0)
    player.hear([torch.ones_like(parameter) for parameter in player.parameters])
    with pytest.raises(AgentError) as caught:
        player.move(0)
    assert str(caught.value) == (
        f"agent {__name__ + ':once'!r} of player 'x' cannot be built as {__name__}:once(), on failure restart: "
        "IndexError: pop from empty list. Expected Agent(parameters, **arguments); correct the arguments."
    )


LEFT = [2]


def once(parameters: Sequence[Tensor]) -> Fragile:
    """An agent that fails in its first move, and can be built once."""
    agent = Fragile(parameters, "tired")
    agent.moves = LEFT.pop()
    return agent


def test_torchs_own_agent_cannot_leave_a_move_out():
    with pytest.raises(ExperimentError, match=r"agent 'torch'.*on_failure='skip'.*expected 'fail'.*agent of your own"):
        AgentSpecification.of(on_failure="skip")


def sleepy(policy: Any, named: Callable[[type], str]) -> Player:
    Sleepy.awake.clear()
    return Player("x", LINEAR, AgentSpecification.of(agent=named(Sleepy), on_failure=policy, patience=0.3), seed=0)


def test_a_hang_ends_the_run_if_the_policy_says_so(named):
    player = sleepy("fail", named)
    assert [turn(player, round) for round in range(2)] == ["", ""]
    with pytest.raises(AgentError, match=r"player 'x'.*move in round 2.*did not return within 0.3 s"):
        turn(player, 2)
    assert fallen(player) == 2
    Sleepy.awake.set()


def test_a_hang_is_skipped_until_the_call_returns_and_what_it_then_does_is_undone(named):
    player = sleepy("skip", named)
    assert [bool(turn(player, round)) for round in range(4)] == [False, False, True, True]
    Sleepy.awake.set()
    said, end = "busy", time.monotonic() + 10
    while "busy" in said and time.monotonic() < end:
        said = turn(player, 4)
    assert "too late" in said
    assert turn(player, 5) == "" and fallen(player) == 3


def test_a_hung_agent_is_restarted_at_once(named):
    player = sleepy("restart", named)
    assert [bool(turn(player, round)) for round in range(5)] == [False, False, True, False, False]
    assert fallen(player) == 4
    Sleepy.awake.set()


def test_the_torch_agent_takes_no_patience():
    with pytest.raises(ExperimentError, match=r"agent 'torch' was given patience=5.*Leave it out"):
        AgentSpecification.of(patience=5.0)
