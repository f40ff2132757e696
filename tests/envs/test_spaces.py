"""Units and boxes: [-1, 1] where bounded on both sides, the environment's own elsewhere, and never outside a bound."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given, settings, strategies as st

from antiphon.envs.spaces import ActionMap, ObservationMap
from antiphon.errors import OracleError
from antiphon.grammars.library.networks import Within

INF = np.inf
MIXED = Box(np.array([-2.0, -INF, 0.0, -INF]), np.array([4.0, INF, INF, 5.0]), dtype=np.float64)


def row(*values):
    return np.array([values], dtype=np.float32)


def test_each_kind_of_bound():
    units = ActionMap(MIXED, "an example")
    assert units.clip(row(-3, -99, -1, 99)).tolist() == [[-1, -99, 0, 5]]
    assert units.to_box(row(-1, -99, 7, 5)).tolist() == [[-2, -99, 7, 5]]
    assert units.to_box(row(0.5, 0, 0, 0)).tolist() == [[2.5, 0, 0, 0]]
    assert units.to_box(row(0, 0, 0, 0)).dtype == np.float64


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-1e6, 1e6, width=32),
    st.floats(0, 1e6, width=32),
    st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=5),
)
def test_actions_are_always_in_the_box(low, width, values):
    space = Box(np.float32(low), np.float32(low) + np.float32(width), (1,), np.float32)
    units = ActionMap(space, "an example")
    for action in units.to_box(units.clip(np.array(values, dtype=np.float32)[:, None])):
        assert space.contains(action)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e3, 1e3, width=32), st.sampled_from([1e-2, 1.0, 1e3, INF]), st.booleans(), st.floats(0.01, 0.99))
def test_actors_output_reaches_every_action_and_the_bounds_themselves(bound, width, below, share):
    """Bounds on both sides, not symmetric; or one bound, below or above. The identity needs no test."""
    low, high = (bound, bound + width) if below else (bound - width, bound)
    units = ActionMap(Box(np.float32(low), np.float32(high), (1,), np.float32), "an example")
    within = Within(units.low, units.high)

    def played(x):
        return float(units.to_box(units.clip(within(torch.tensor([[x]])).numpy()))[0, 0])

    rounding = 1e-6 * (abs(bound) + min(width, 1e3))
    assert played(-200.0) == pytest.approx(low, abs=rounding) if np.isfinite(low) else played(-200.0) < -100 + bound
    assert played(200.0) == pytest.approx(high, abs=rounding) if np.isfinite(high) else played(200.0) > 100 + bound
    target = low + share * (high - low) if np.isfinite(width) else bound + (1 if below else -1) * share * 100
    few, many = -200.0, 200.0  # bisection: the map is increasing
    for _ in range(60):
        middle = (few + many) / 2
        few, many = (middle, many) if played(middle) < target else (few, middle)
    assert played(many) == pytest.approx(target, abs=rounding)


def test_random_actions_are_in_the_box_and_uniform_where_bounded():
    units = ActionMap(MIXED, "an example")
    drawn = units.draw(2000, torch.Generator().manual_seed(0))
    assert np.array_equal(drawn, units.clip(drawn))
    assert drawn[:, 0].std() == pytest.approx(1 / np.sqrt(3), abs=0.03)
    assert drawn[:, 1].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "space", [gymnasium.spaces.Discrete(2), gymnasium.spaces.MultiBinary(3), Box(0, 5, (2,), np.int32)]
)
def test_other_than_continuous_actions_are_refused(space):
    with pytest.raises(OracleError) as refused:
        ActionMap(space, "environment 'X'")
    assert str(refused.value) == (
        f"environment 'X' has the action space {space}; expected a continuous Box, because players move in the units "
        "of its gradient. Choose an environment with continuous actions, or wrap this one so that it takes them."
    )


def test_observations_without_one_size_are_refused():
    space = gymnasium.spaces.Sequence(Box(0, 1, (2,)))
    with pytest.raises(OracleError) as refused:
        ObservationMap(space, "environment 'X'")
    assert str(refused.value) == (
        f"environment 'X' has the observation space {space}, whose observations are not of one size; expected a Box, "
        "or a Dict or Tuple of such. Wrap the environment so that it observes vectors."
    )


NESTED = gymnasium.spaces.Dict(
    {"a": gymnasium.spaces.Tuple((Box(0, 1, (2,)), gymnasium.spaces.Discrete(3))), "b": Box(0, 1, ())}
)
POINT, SCALAR = np.zeros(2, dtype=np.float32), np.zeros((), dtype=np.float32)


def test_a_nested_observation_is_flat():
    flat = ObservationMap(NESTED, "X").flat({"a": (POINT, 2), "b": SCALAR}, "in reset")
    assert flat.tolist() == [0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("value", "misfit"),
    [
        ([1, 2], "expected the keys ['a', 'b'], a list of 2 arrived"),
        ({"a": (POINT, 2)}, "expected the keys ['a', 'b'], a dict with the keys ['a'] arrived"),
        ({"a": (POINT,), "b": SCALAR}, "expected['a'] a tuple of 2, a tuple of 1 arrived"),
        ({"a": (POINT[:1], 2), "b": SCALAR}, "expected['a'][0] float32[2], float32[1] arrived"),
        ({"a": (POINT, 3), "b": SCALAR}, "expected['a'][1] a member of Discrete(3), a int arrived"),
        ({"a": (POINT, 2), "b": "0"}, "expected['b'] float32[], a str arrived"),
        ({"a": (POINT, 2), "b": [0.0]}, "expected['b'] float32[], a list of 1 arrived"),
        ({"a": ([[1], [1, 2]], 2), "b": SCALAR}, "expected['a'][0] float32[2], a list of 2 arrived"),
    ],
)
def test_the_place_of_a_misfit_is_told(value, misfit):
    with pytest.raises(OracleError) as refused:
        ObservationMap(NESTED, "environment 'X'").flat(value, "in step 2")
    assert str(refused.value) == (
        f"environment 'X' broke its own observation space in step 2: {misfit}. "
        "Make the environment observe what it declares, or declare what it observes."
    )
