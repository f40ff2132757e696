"""The bandit's reward and its slope are those of the formula."""

import pytest
import torch

from antiphon.envs.bandit import TARGET, curvature, quadratic_bandit
from antiphon.errors import OracleError
from antiphon.testing import check_oracle


@pytest.mark.parametrize("dimension", [1, 10, 25])
def test_the_bandit_conforms(dimension):
    check_oracle(quadratic_bandit(dimension, batch=4))


@pytest.mark.parametrize("dimension", [10, 25, 50])
def test_curvature_is_symmetric_with_eigenvalues_a_tenth_and_one(dimension):
    matrix = curvature(dimension)
    torch.testing.assert_close(matrix, matrix.T)
    eigenvalues = torch.linalg.eigvalsh(matrix)
    few = dimension - dimension // 2
    expected = torch.cat([torch.full((few,), 0.1), torch.ones(dimension - few)]).double()
    torch.testing.assert_close(eigenvalues, expected)
    assert not torch.allclose(matrix, curvature(dimension, instance=1))


def test_the_reward_is_the_quadratic():
    oracle = quadratic_bandit(10, batch=3, instance=2).make(seed=0)
    actions = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    actions[0] = TARGET
    assert oracle.answer("observe", (), 0)[0].tolist() == [[1.0]] * 3
    (reward,) = oracle.answer("reward", (actions,), 0)
    away = actions.double() - 4
    torch.testing.assert_close(
        reward.double(), -torch.einsum("bi,ij,bj->b", away, curvature(10, 2), away), rtol=1e-4, atol=1e-5
    )
    assert reward[0] == 0
    assert oracle.report() == {"pulls": 3, "reward": pytest.approx(reward.mean().item())}
    assert oracle.report() == {"pulls": 3}


def test_an_action_out_of_all_bounds_is_refused_with_its_round():
    oracle = quadratic_bandit(2, batch=1).make(seed=0)
    oracle.answer("observe", (), 3)
    with pytest.raises(OracleError, match=r"^bandit answered NaN or infinity in round 3"):
        oracle.answer("reward", (torch.full((1, 2), 1e30),), 3)
