"""A state is of a round boundary, or it is refused: wherever in a round somebody interrupts, raises, or looks."""

import itertools
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator import nonfinite
from antiphon.coordinator.entries import Entry, play_round
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.envs.regulator import regulator
from antiphon.envs.riccati import Regulator
from antiphon.errors import AntiphonError, ExperimentError, ProtocolError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop, dac
from antiphon.grammars.library.quadratic import AffineSlope, LinearPolicy, QuadraticValue
from antiphon.grammars.states import same_states
from antiphon.oracles import gaussian
from rigs.games import points, with_dropout

AGENTS = AgentSpecification.of("SGD", {"lr": 0.05, "momentum": 0.9})
ROUNDS = 3


def regulated() -> Grammar:
    """A world whose whole state is saved, a replay, clones that follow, noise; acting every other round."""
    eye = torch.eye(2, dtype=torch.float64)
    return dac(
        regulator(Regulator(0.9 * eye, eye, eye, eye, process=0.1), envs=3, batch=5, capacity=30),
        gaussian((2,), batch=3, symbol="envs", scale=0.3, dtype=torch.float64),
        Factory.of(LinearPolicy, 0.1 * eye),
        Factory.of(QuadraticValue, 2, 2, torch.float64),
        Factory.of(AffineSlope, 2, 2, torch.float64),
        act_every=2,
    )


MAKERS: list[Callable[[], Grammar]] = [with_dropout, regulated]


@cache
def assignment(index: int, apart: bool) -> Assignment:
    grammar = MAKERS[index]()
    placement: Placement | None = spread(grammar) if apart else None
    return assign(grammar, AGENTS, placement=placement, seed=3)


@cache
def undisturbed(index: int, apart: bool) -> tuple[Any, int]:  # Any: states
    """The states after all rounds, and how many steps the second half of them has."""
    count = itertools.count()

    def counted(entries: Iterable[Entry], round: int) -> None:
        for entry in entries:
            next(count)
            play_round([entry], round)

    with InlineExecutor(assignment(index, apart)) as executor, pytest.MonkeyPatch.context() as patch:
        executor.play(ROUNDS)
        patch.setattr(nonfinite, "play_round", counted)
        executor.play(ROUNDS)
        return executor.states(), next(count)


def breaking_at(step: int, error: BaseException, after: bool) -> Callable[..., None]:
    """`play_round`, raising at one step, before it is played or after it."""
    count = itertools.count()

    def broken(entries: Iterable[Entry], round: int) -> None:
        for entry in entries:
            hit = next(count) == step
            if hit and not after:
                raise error
            play_round([entry], round)
            if hit:
                raise error

    return broken


def readers(executor: InlineExecutor, folder: Path) -> Iterator[Callable[[], object]]:
    yield lambda: executor.round
    yield executor.states
    yield partial(executor.save, folder)
    yield partial(executor.play, 1)


@given(
    index=st.integers(0, len(MAKERS) - 1),
    apart=st.booleans(),
    share=st.floats(0, 1),
    after=st.booleans(),
    error=st.sampled_from([KeyboardInterrupt(), SystemExit(3), ValueError("mine"), ProtocolError("ours")]),
)
@settings(max_examples=40)
def test_a_round_that_breaks_off_anywhere_is_refused_until_a_load_restores_it(index, apart, share, after, error):
    task = assignment(index, apart)
    expected, steps = undisturbed(index, apart)
    with InlineExecutor(task) as executor, pytest.MonkeyPatch.context() as patch:
        executor.play(ROUNDS)
        saved = executor.states()
        patch.setattr(nonfinite, "play_round", breaking_at(int(share * (steps - 1)), error, after))
        with pytest.raises(type(error)):
            executor.play(ROUNDS)
        patch.undo()
        for read in readers(executor, Path("never-made")):
            with pytest.raises(ProtocolError, match=r"asked to .* behind round 3; expected the boundary .*`load`"):
                read()
        executor.load(saved, ROUNDS)
        executor.play(ROUNDS)
        assert same_states(executor.states(), expected)


@pytest.mark.parametrize("index", range(len(MAKERS)))
def test_a_load_of_the_last_boundary_plays_the_same_round_again(index):
    with InlineExecutor(assignment(index, False)) as executor:
        executor.play(ROUNDS)
        saved = executor.states()
        losses, states = executor.play(1).losses, executor.states()
        executor.load(saved, ROUNDS)
        assert same_states(executor.play(1).losses, losses) and same_states(executor.states(), states)


class Signals(nn.Linear):
    """Sends this process so many interrupts in the forward pass of one round."""

    at, times, played = -1, 1, 0

    def forward(self, input: Tensor) -> Tensor:
        """As linear."""
        if type(input) is Tensor:
            Signals.played += 1
            for _ in range(Signals.times if Signals.played == Signals.at else 0):
                signal.raise_signal(signal.SIGINT)
        return super().forward(input)


@cache
def signalling() -> Assignment:
    return assign(backprop(points(4), {"In": Factory.of(Signals, 4, 4), "Out": Factory.of(Signals, 4, 3)}), AGENTS)


def interrupted(executor: InlineExecutor, at: int, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play until interrupted in the forward pass number `at`, of which each round has two."""
    for name, value in (("played", 0), ("at", at), ("times", times)):
        monkeypatch.setattr(Signals, name, value)
    with pytest.raises(KeyboardInterrupt):
        executor.play(10**6)
    monkeypatch.setattr(Signals, "at", -1)


@pytest.mark.parametrize("at", [1, 2, 5, 14])
def test_ctrl_c_finishes_the_round_in_hand(at, monkeypatch):
    with InlineExecutor(signalling()) as executor, InlineExecutor(signalling()) as calm:
        executor.play(10)
        interrupted(executor, at, 1, monkeypatch)
        assert executor.round == 10 + (at + 1) // 2
        calm.play(executor.round)
        assert same_states(executor.states(), calm.states())
        assert same_states(executor.play(2).losses, calm.play(2).losses)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait_and_the_state_is_refused(monkeypatch):
    with InlineExecutor(signalling()) as executor:
        executor.play(10)
        saved = executor.states()
        interrupted(executor, 4, 2, monkeypatch)
        with pytest.raises(ProtocolError):
            executor.states()
        executor.load(saved, 10)
        assert executor.play(1).round == 11


def test_a_handler_of_the_callers_own_is_left_alone(monkeypatch):
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with InlineExecutor(signalling()) as executor:
            monkeypatch.setattr(Signals, "played", 0)
            monkeypatch.setattr(Signals, "at", 1)
            assert executor.play(2).round == 2
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_another_thread_plays_without_touching_signals(monkeypatch):
    with InlineExecutor(signalling()) as executor:
        thread = threading.Thread(target=executor.play, args=(2,))
        thread.start()
        thread.join()
        assert executor.round == 2


def test_from_within_a_round_nothing_can_be_read_or_replaced(tmp_path):
    refused: list[str] = []

    def look(*_: object) -> None:
        for read in (*readers(executor, tmp_path / "no"), partial(executor.load, {}, 0)):
            with pytest.raises(ProtocolError) as caught:
                read()
            refused.append(str(caught.value))

    with InlineExecutor(signalling(), watch=look) as executor:
        executor.play(1)
        assert executor.round == 1
    assert len(refused) == 5 and all("while it was asked to play, behind round 0" in each for each in refused)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("wrong", [{}, {"In": None, "Out": {}, "Nature": {}}, {"In": {"parameters": 1}}])
def test_a_load_that_fails_leaves_a_state_that_is_refused(wrong):
    with InlineExecutor(signalling()) as executor:
        executor.play(2)
        saved = executor.states()
        with pytest.raises(AntiphonError, match=r"In|Nature|Out"):
            executor.load(wrong, 1)
        with pytest.raises(ProtocolError, match="asked to load"):
            executor.play(1)
        executor.load(saved, 2)
        assert executor.play(1).round == 3


@pytest.mark.parametrize("wrong", [-1, 2.5, None, "3", True])
def test_a_number_of_rounds_is_a_whole_number(wrong):
    with InlineExecutor(signalling()) as executor:
        for call in (partial(executor.play, wrong), partial(executor.load, executor.states(), wrong)):
            with pytest.raises(ExperimentError, match="whole number of at least 0"):
                call()
        assert executor.play(1).round == 1
