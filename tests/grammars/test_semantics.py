"""The meaning of an output is its preimage; functions are compared by what they hold together and apart."""

from itertools import combinations
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from sklearn.metrics import adjusted_rand_score, mutual_info_score
from torch import nn

from antiphon.errors import ExperimentError, ShapeError
from antiphon.grammars.partitions import Grid, Itself, Largest, Nearest, Threshold
from antiphon.grammars.semantics import Semantics, agreement, distance, semantics, uncertainty

TEN = torch.arange(10)


def labelled(*labels: int) -> Semantics:
    return semantics(lambda x: torch.tensor(labels), torch.arange(len(labels)))


PAIRS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n) for _ in range(2)])
)


def test_the_meaning_of_an_output_is_the_inputs_that_cause_it():
    third = semantics(lambda x: x % 3, TEN)
    assert third.meaning(1) == {1, 4, 7}
    assert third.meaning(1) < third.inputs == frozenset(range(10))
    assert third.meaning(7) == frozenset()


@given(PAIRS)
def test_meanings_are_a_partition(pair):
    found = labelled(*pair[0])
    assert sum(map(len, found.categories)) == len(found.inputs)
    assert frozenset().union(*found.categories) == found.inputs


def test_a_proposition_means_the_worlds_in_which_it_is_true():
    blue = semantics(lambda worlds: worlds[:, 2] > worlds[:, 0], torch.tensor([[0.9, 0, 0.1], [0.1, 0, 0.8]]))
    assert blue.meaning(True) == {1}


def test_logits_mean_their_class():
    torch.manual_seed(0)
    net, x = nn.Linear(4, 3), torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    found = semantics(net, x)
    assert found.partition == Largest()
    assert found.outputs == tuple(net(x).argmax(1).tolist())


def test_functions_of_several_inputs_take_several_tensors():
    found = semantics(lambda s, a: s + a, [TEN, TEN.flip(0)])
    assert found.categories == {found.inputs}
    assert found.meaning(9) == found.inputs


def test_rows_are_outputs_too():
    found = semantics(lambda x: torch.stack([x % 2, x // 5], 1), TEN, by=Itself())
    assert found.meaning((1, 0)) == {1, 3}
    assert len(found.categories) == 4


def test_real_numbers_mean_what_is_stated():
    by = Grid(1.0)
    found = semantics(lambda x: x / 4, TEN, by=by)
    assert found.meaning(1) == {4, 5, 6, 7}
    assert found.partition is by
    assert semantics(lambda x: x - 4.5, TEN, by=Threshold()).meaning(1) == {5, 6, 7, 8, 9}
    assert semantics(lambda x: x / 1.0, TEN, by=Nearest(((0.0,), (9.0,)))).meaning(0) == {0, 1, 2, 3, 4}


def test_it_is_a_value():
    one, same = semantics(lambda x: x % 3, TEN), semantics(lambda x: (x + 3) % 3, TEN)
    assert one == same
    assert hash(one) == hash(same)
    assert repr(one) == "semantics of 10 inputs by Itself(): {0: 4, 1: 3, 2: 3}"
    assert repr(semantics(lambda x: x, TEN)).endswith("6: 1, 7: 1, and 2 more}")


def test_names_of_outputs_do_not_matter_to_categories():
    one, other = semantics(lambda x: x % 3, TEN), semantics(lambda x: -7 * (x % 3), TEN)
    assert one != other
    assert one.categories == other.categories
    assert (agreement(one, other), distance(one, other)) == (1.0, 0.0)


def brute_refines(one: Semantics, other: Semantics) -> bool:
    """Every category lies within some other one: the definition, word by word."""
    return all(any(small <= large for large in other.categories) for small in one.categories)


@given(PAIRS)
def test_refinement_is_that_every_category_lies_within_one(pair):
    one, other = labelled(*pair[0]), labelled(*pair[1])
    assert one.refines(other) == brute_refines(one, other)
    assert one.refines(one)
    assert (one.refines(other) and other.refines(one)) == (one.categories == other.categories)


@given(PAIRS)
def test_refinement_is_that_nothing_is_left_to_know(pair):
    one, other = labelled(*pair[0]), labelled(*pair[1])
    assert one.refines(other) == (uncertainty(other, given=one) == 0)


def test_a_function_of_an_output_is_coarser():
    sixth, third = semantics(lambda x: x % 6, TEN), semantics(lambda x: x % 6 % 3, TEN)
    assert sixth.refines(third)
    assert not third.refines(sixth)


@given(PAIRS)
def test_agreement_is_scikit_learns(pair):
    one, other = labelled(*pair[0]), labelled(*pair[1])
    assert agreement(one, other) == pytest.approx(adjusted_rand_score(*pair), abs=1e-12)
    assert agreement(one, other) == agreement(other, one)


@given(PAIRS)
def test_distance_is_made_of_scikit_learns_information(pair):
    one, other = labelled(*pair[0]), labelled(*pair[1])
    shared, mine, theirs = (mutual_info_score(*each) for each in (pair, pair[:1] * 2, pair[1:] * 2))
    assert uncertainty(one, given=other) == pytest.approx(mine - shared, abs=1e-12)
    assert distance(one, other) == pytest.approx(mine + theirs - 2 * shared, abs=1e-12)


@given(st.integers(1, 10).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 3)))
def test_distance_is_a_metric(triple):
    a, b, c = (labelled(*labels) for labels in triple)
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12
    assert (distance(a, b) == 0) == (a.categories == b.categories)


def test_agreement_counts_pairs():
    one, other = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 1]
    both = sum(one[i] == one[j] and other[i] == other[j] for i, j in combinations(range(6), 2))
    mine, theirs = (sum(each[i] == each[j] for i, j in combinations(range(6), 2)) for each in (one, other))
    expected = mine * theirs / 15
    adjusted = (both - expected) / ((mine + theirs) / 2 - expected)
    assert agreement(labelled(*one), labelled(*other)) == pytest.approx(adjusted, abs=1e-15)


def test_chance_agrees_by_nothing_where_the_plain_index_is_near_one():
    draw = torch.Generator().manual_seed(0)
    one, other = (labelled(*torch.randint(40, (2000,), generator=draw).tolist()) for _ in range(2))
    assert abs(agreement(one, other)) < 0.005


def test_two_equal_halves_apart_are_a_bit_and_a_half_of_distance():
    assert distance(labelled(0, 0, 1, 1), labelled(0, 1, 0, 1)) == pytest.approx(2 * log(2))


# Remark 1: a general value function answers a question about expected rewards. States of a walk on seven places, who
# goes left or right with equal chance and rests at both ends; the walk is the same seen from the other end.
PLACES, GAMMA = 7, 0.9
WALK = np.zeros((PLACES, PLACES))
WALK[0, 0] = WALK[-1, -1] = 1.0
for place in range(1, PLACES - 1):
    WALK[place, place - 1] = WALK[place, place + 1] = 0.5


def value(reward: np.ndarray) -> torch.Tensor:
    """Expected discounted reward from each place, by the Bellman equation."""
    return torch.from_numpy(np.linalg.solve(np.eye(PLACES) - GAMMA * WALK, reward))


def question(reward: np.ndarray) -> Semantics:
    return semantics(lambda state: value(reward)[state], torch.arange(PLACES), by=Grid(1e-6, origin=-0.5e-6))


EITHER_END = np.array([1.0, 0, 0, 0, 0, 0, 1.0])
RIGHT_END = np.array([0.0, 0, 0, 0, 0, 0, 1.0])


def test_a_value_function_holds_states_together_that_share_an_answer():
    assert question(EITHER_END).categories == {frozenset({i, 6 - i}) for i in range(4)}


def test_a_question_may_be_finer_than_another():
    assert question(RIGHT_END).refines(question(EITHER_END))
    assert not question(EITHER_END).refines(question(RIGHT_END))


def test_a_question_that_is_always_answered_alike_means_nothing():
    assert question(np.ones(PLACES)).categories == {frozenset(range(PLACES))}


def test_semantics_is_of_any_function_but_only_an_optimized_one_represents():
    """Remark 1, last sentence: what temporal differences end at means what the value means; any function means."""
    estimate, other = torch.zeros(PLACES, dtype=torch.float64), torch.randn(PLACES, generator=torch.manual_seed(3))
    walk, reward = torch.from_numpy(WALK), torch.from_numpy(EITHER_END)
    states, by = torch.arange(PLACES), Grid(1e-3, origin=-5e-4)
    truth = semantics(lambda state: value(EITHER_END)[state], states, by)
    for _ in range(300):
        estimate = estimate + 0.5 * (reward + GAMMA * walk @ estimate - estimate)
    assert agreement(semantics(lambda state: estimate[state], states, by), truth) == 1.0
    assert agreement(semantics(lambda state: other[state], states, by), truth) < 0.1


@pytest.mark.parametrize(
    ("kind", "function", "text"),
    [
        (
            ExperimentError,
            lambda x: x / 2,
            "a function plays real numbers, shape (10,), of which no two need ever be equal; expected a statement of "
            "which outputs are the same. Pass by=Threshold(), Grid(width), Nearest(prototypes), or Itself().",
        ),
        (
            ShapeError,
            lambda x: x.sum(),
            "a function played outputs of shape () for data of length [10]; expected the same first dimension, of at "
            "least 1. Pass a data set of one length, and return an output per input.",
        ),
        (ShapeError, len, "a function played a int; expected one tensor, an output for each input. Return it."),
        (
            ExperimentError,
            lambda x: torch.where(x < 2, torch.nan, 1.0),
            "a function played NaN for 2 of 10 inputs; expected numbers, since NaN is not even equal to itself. "
            "Correct the function.",
        ),
    ],
)
def test_what_is_no_semantics_is_refused(refusal, kind, function, text):
    assert refusal(kind, lambda: semantics(function, TEN)) == text


def test_other_data_are_refused(refusal):
    one, other = (semantics(lambda x: x % 2, data) for data in (TEN, TEN + 1))
    text = (
        "semantics of 10 inputs by Itself(): {0: 5, 1: 5} and semantics of 10 inputs by Itself(): {1: 5, 0: 5} are of "
        "different data; expected both functions on one data set, in one order. "
        "Take the semantics of both on the same inputs."
    )
    for act in (agreement, distance, Semantics.refines):
        assert refusal(ExperimentError, lambda act=act: act(one, other)) == text
