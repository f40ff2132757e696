"""The live regulator: the contract of an oracle, the transitions of its formula, the states of its occupancy."""

import pytest
import torch

from antiphon.envs.regulator import regulator
from antiphon.envs.riccati import Regulator, occupancy
from antiphon.errors import OracleError
from antiphon.testing import check_oracle

EYE = torch.eye(2, dtype=torch.float64)
SYSTEM = Regulator(
    torch.tensor([[0.9, 0.3], [-0.2, 0.8]], dtype=torch.float64), EYE[:, :1], EYE, EYE[:1, :1], process=0.2, gamma=0.8
)


def test_the_regulator_conforms():
    check_oracle(regulator(SYSTEM, envs=3, batch=5, capacity=20))


def test_transitions_are_those_of_the_formula():
    quiet = Regulator(SYSTEM.drift, SYSTEM.control, EYE, EYE[:1, :1], process=0.0, gamma=0.8)
    oracle = regulator(quiet, envs=4, batch=64, capacity=400).make(seed=0)
    for round in range(100):
        (state,) = oracle.answer("observe", (), round)
        reward, _ = oracle.answer("step", (0.1 * round * torch.ones(4, 1, dtype=torch.float64),), round)
        if round == 0:
            torch.testing.assert_close(reward, -(state**2).sum(1))
    state, action, reward, after, terminated = oracle.answer("replay", (), 100)
    torch.testing.assert_close(after, state @ SYSTEM.drift.T + action @ SYSTEM.control.T)
    torch.testing.assert_close(reward, -(state**2).sum(1) - (action**2).sum(1))
    assert not terminated.any() and action.unique().numel() > 10


def test_states_are_met_as_often_as_the_discounted_return_weighs_them():
    gain, sigma, generator = torch.tensor([[-0.5, 0.1]], dtype=torch.float64), 0.4, torch.Generator().manual_seed(0)
    oracle = regulator(SYSTEM, envs=5000, batch=1, capacity=5000).make(seed=1)
    second, ended, rounds = torch.zeros(2, 2, dtype=torch.float64), 0.0, 60
    for round in range(2 * rounds):
        (state,) = oracle.answer("observe", (), round)
        noise = sigma * torch.randn(5000, 1, generator=generator, dtype=torch.float64)
        _, done = oracle.answer("step", (state @ gain.T + noise,), round)
        if round >= rounds:
            second, ended = second + state.T @ state / 5000 / rounds, ended + done.mean().item() / rounds
    torch.testing.assert_close(second, occupancy(SYSTEM, gain, sigma), rtol=0.02, atol=0.02)
    assert ended == pytest.approx(0.2, abs=0.005)


def test_refusals():
    with pytest.raises(OracleError) as refused:
        regulator(SYSTEM, envs=8, capacity=4)
    assert str(refused.value) == "regulator: capacity is 4; expected at least 8, a transition per copy. Raise it."
    oracle = regulator(SYSTEM, envs=1).make(seed=0)
    with pytest.raises(OracleError) as refused:
        oracle.answer("replay", (), 0)
    assert str(refused.value) == (
        "regulator was asked for a replay before its first step; expected a step to remember. "
        "Let acting come before learning in the round, or start learning in a later one."
    )
    for action in (torch.inf, 1e200):  # whose square is infinite
        with pytest.raises(OracleError, match=r"^regulator left all bounds in the step after 0; expected finite"):
            oracle.answer("step", (torch.full((1, 1), action, dtype=torch.float64),), 0)
