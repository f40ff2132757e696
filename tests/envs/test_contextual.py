"""A bandit of any reward: the contract of an oracle, rewards of the states that were shown, refusals."""

import pytest
import torch

from antiphon.envs.contextual import contextual_bandit
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.testing import check_oracle


def miss(state: torch.Tensor, action: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """Minus the squared distance of an action from the first entries of the state."""
    return -scale * (action - state[:, : action.shape[1]]).square().sum(1)


def doubled():
    """The reward of a factory."""
    return lambda state, action: miss(state, action, 2.0)


def test_the_bandit_conforms():
    check_oracle(contextual_bandit(miss, 3, 2, batch=4))
    check_oracle(contextual_bandit(Factory.of(doubled), 3, 2, batch=4, dtype=torch.float64))


def test_an_action_is_rewarded_in_the_state_that_was_shown():
    oracle = contextual_bandit(miss, 3, 2, batch=2000).make(seed=1)
    (state,) = oracle.answer("observe", (), 5)
    assert abs(state.mean()) < 0.05 and state.std() == pytest.approx(1, abs=0.05)
    (reward,) = oracle.answer("reward", (state[:, :2] + 1,), 5)
    torch.testing.assert_close(reward, torch.full((2000,), -2.0))
    assert oracle.report() == {"pulls": 2000, "reward": pytest.approx(-2)}
    assert oracle.report() == {"pulls": 2000}
    assert not oracle.answer("observe", (), 6)[0].equal(state)


def test_refusals(refusal):
    oracle = contextual_bandit(miss, 1, 1, batch=1).make(seed=0)
    oracle.answer("observe", (), 0)
    assert refusal(OracleError, lambda: oracle.answer("reward", (torch.zeros(1, 1),), 1)) == (
        "bandit was asked for a reward in round 1 before it showed its states; expected observe before reward in every "
        "round. Ask them in this order."
    )
    other = contextual_bandit(lambda state, action: action, 1, 1, batch=2).make(seed=0)
    other.answer("observe", (), 0)
    assert refusal(OracleError, lambda: other.answer("reward", (torch.zeros(2, 1),), 0)) == (
        "oracle 'bandit', question 'reward': expected the answer (float32[2]), as declared; (float32[2, 1]) arrived. "
        "Make the oracle answer what its declaration says, or correct the declaration."
    )
