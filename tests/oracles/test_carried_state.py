"""A memory gives back what was kept last; a schedule is a function of the round."""

import pytest
import torch

from antiphon.errors import OracleError
from antiphon.oracles import memory, scalar_schedule
from antiphon.testing import check_oracle


def test_both_keep_the_contract_of_oracles():
    check_oracle(memory((3,), (2, 2), batch=4))
    check_oracle(scalar_schedule((0, 0.0), (3, 1.0), (9, 0.5), dtype=torch.float64))


def test_a_memory_recalls_what_was_kept_last_and_zeros_before():
    oracle = memory((3,), batch=2, dtype=torch.float64).make(seed=0)
    (first,) = oracle.answer("recall", (), 0)
    assert first.dtype is torch.float64 and not first.any()
    for times, value in enumerate((torch.ones(2, 3), torch.rand(2, 3)), 1):
        assert oracle.answer("keep", (value.double(),), 0)[0] == times
        value_before = value.double()
        value.zero_()
        assert torch.equal(oracle.answer("recall", (), 1)[0], value_before)


def test_a_memory_refuses_the_state_of_another():
    state = memory((3,), batch=2).make(seed=0).state()
    with pytest.raises(OracleError, match=r"\[2, 4\].*\[2, 3\]"):
        memory((4,), batch=2).make(seed=0).load(state)


def test_a_schedule_is_linear_between_its_points():
    oracle = scalar_schedule((2, 1.0), (4, 0.0), (8, 2.0)).make(seed=0)
    values = [float(oracle.answer("value", (), round)[0]) for round in range(10)]
    assert values == [1.0, 1.0, 1.0, 0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.0]


@pytest.mark.parametrize("points", [(), ((3, 1.0), (3, 2.0)), ((3, 1.0), (1, 2.0)), ((0, float("inf")),)])
def test_points_out_of_order_are_refused(points):
    with pytest.raises(OracleError, match="a scalar schedule was given"):
        scalar_schedule(*points)


def test_a_memory_of_nothing_is_refused():
    with pytest.raises(OracleError, match="without a shape"):
        memory(batch=2)
