"""On Ray too a state is of a round boundary, or it is refused until a load restores it."""

import os
import signal
import threading
from typing import Any

import pytest
from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread, together
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.finding import COORDINATOR
from antiphon.errors import PlacementError, ProtocolError, RoundError
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
from antiphon.grammars.states import same_states
from antiphon.runs.interrupts import Interrupts
from rigs.games import failing, points

AGENTS = AgentSpecification.of("SGD", {"lr": 0.05, "momentum": 0.9})


def task(apart: bool) -> Assignment:
    grammar = backprop(points(4), {"In": Factory.of(nn.Linear, 4, 4), "Out": Factory.of(nn.Linear, 4, 3)})
    return assign(grammar, AGENTS, placement=(spread if apart else together)(grammar), seed=3)


def after(assignment: Assignment, rounds: int) -> Any:  # Any: states
    with InlineExecutor(assignment) as executor:
        executor.play(rounds)
        return executor.states()


def interrupt_while_playing(executor: RayExecutor) -> None:
    """Play very many rounds, with one SIGINT as soon as some of them were played."""

    def send() -> None:
        for _ in range(2000):
            if any(each.get("round", 0) > 20 for each in executor.status()["workers"].values()):
                os.kill(os.getpid(), signal.SIGINT)
                return

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        executor.play(10**9)
    sender.join()


@pytest.mark.parametrize("apart", [True, False])
def test_ctrl_c_finishes_the_round_in_hand_on_every_worker(pool, apart):
    with RayExecutor(task(apart), "interrupted", pool=pool) as executor:
        executor.play(10)
        interrupt_while_playing(executor)
        assert executor.round > 20
        assert same_states(executor.states(), after(executor.assignment, executor.round))
        assert executor.play(3).rounds == 3


@pytest.mark.parametrize("apart", [True, False])
def test_an_abort_at_once_is_refused_until_a_load(pool, apart):
    with RayExecutor(task(apart), "aborted", pool=pool) as executor:
        executor.play(10)
        saved = executor.states()
        with Interrupts():  # its handler raises where nobody asked for gentleness
            interrupt_while_playing(executor)
        for read in (lambda: executor.round, executor.states, lambda: executor.play(1)):
            with pytest.raises(
                ProtocolError, match="interrupted or failed while it was asked to play, behind round 10"
            ):
                read()
        executor.load(saved, 10)
        executor.play(5)
        assert same_states(executor.states(), after(executor.assignment, 15))


def test_a_player_that_fails_is_refused_until_a_load(pool, tmp_path):
    grammar = failing()
    with RayExecutor(assign(grammar, AGENTS, placement=spread(grammar)), "failed", pool=pool) as executor:
        executor.play(2)
        saved = executor.states()
        with pytest.raises(RoundError, match="the fourth is too many"):
            executor.play(9)
        with pytest.raises(ProtocolError):
            executor.save(tmp_path / "checkpoint")
        assert not (tmp_path / "checkpoint").exists()
        executor.load(saved, 2)
        assert executor.play(3).round == 5
    with pytest.raises(ProtocolError, match="closed"):
        executor.play(1)


def test_nobody_is_called_as_the_actor_that_counts_the_rounds():
    grammar = backprop(points(4), {COORDINATOR: Factory.of(nn.Linear, 4, 3)})
    with pytest.raises(PlacementError, match=f"called '{COORDINATOR}'.*Rename the player"):
        RayExecutor(assign(grammar, AGENTS, placement=spread(grammar)), "named")
