"""A black box answers values only, a gray one gradients too; both are held to what they declare."""

import pytest
import torch

from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.answers import checked_answer
from antiphon.oracles.black_box import black_box
from antiphon.oracles.gray_box import gray_box
from antiphon.testing import check_oracle

POINTS, VALUES = (EdgeType((Batch(), 3)),), (EdgeType((Batch(),)),)
SIGNS = (EdgeType((Batch(), 3), torch.bool),)
SIZES = {"batch": 4}


def bowl(point):
    return point.square().sum(1)


def both(point):
    return bowl(point), point


def several(point):
    return bowl(point), point, point > 0


class Shifted:
    """Made where the oracle lives."""

    def __init__(self, by=1.0):
        self.by = by

    def __call__(self, point):
        return bowl(point - self.by)


@pytest.mark.parametrize("function", [bowl, Shifted, Factory.of(Shifted, 2.0)])
@pytest.mark.parametrize("box", [black_box, gray_box])
def test_boxes_conform(box, function):
    check_oracle(box(function, POINTS, VALUES, sizes=SIZES))


def test_a_black_box_has_no_gradient_and_a_gray_one_has():
    point = torch.ones(4, 3, requires_grad=True)
    (black,) = black_box(bowl, POINTS, VALUES, sizes=SIZES).make(seed=0).answer("value", (point,), 0)
    (gray,) = gray_box(bowl, POINTS, VALUES, sizes=SIZES).make(seed=0).answer("value", (point,), 0)
    assert torch.equal(black, gray)
    assert not black.requires_grad
    assert torch.equal(torch.autograd.grad(gray.sum(), point)[0], 2 * torch.ones(4, 3))


def test_a_black_box_hands_out_no_memory_but_its_own():
    point = torch.ones(4, 3)
    _, same = black_box(both, POINTS, VALUES + POINTS, sizes=SIZES).make(seed=0).answer("value", (point,), 0)
    assert torch.equal(same, point)
    assert same.data_ptr() != point.data_ptr()


def test_queries_are_counted_and_points_beside_them():
    declaration = black_box(bowl, POINTS, VALUES, sizes=SIZES, question="ask")
    oracle = declaration.make(seed=0)
    for round in range(3):
        oracle.answer("ask", (torch.ones(4, 3),), round)
    assert oracle.report() == {"queries_since": 3, "queries": 3, "values": 12, "gradients": 0}
    oracle.answer("ask", (torch.ones(4, 3),), 3)
    assert oracle.report() == {"queries_since": 1, "queries": 4, "values": 16, "gradients": 0}
    resumed = declaration.make(seed=0)
    resumed.load(oracle.state())
    assert resumed.report() == {"queries_since": 0, "queries": 4, "values": 16, "gradients": 0}


def test_gradients_are_counted_apart_once_for_all_outputs():
    oracle = gray_box(several, POINTS, VALUES + POINTS + SIGNS, sizes=SIZES).make(seed=0)
    point = torch.ones(4, 3, requires_grad=True)
    for round in range(3):
        value, same, sign = oracle.answer("value", (point,), round)
        assert not sign.requires_grad
        (gradient,) = torch.autograd.grad([value.sum(), same.sum()], point)
        assert torch.equal(gradient, 2 * torch.ones(4, 3) + 1)
    oracle.answer("value", (point,), 3)
    assert oracle.report() == {"queries_since": 4, "queries": 4, "values": 16, "gradients": 12}


def test_a_gradient_that_is_asked_twice_counts_twice():
    oracle = gray_box(bowl, POINTS, VALUES, sizes=SIZES).make(seed=0)
    point = torch.ones(4, 3, requires_grad=True)
    (value,) = oracle.answer("value", (point,), 0)
    for _ in range(2):
        torch.autograd.grad(value.sum(), point, retain_graph=True)
    assert (oracle.report()["values"], oracle.report()["gradients"]) == (4, 8)


def test_without_a_batch_a_query_is_one_point():
    oracle = gray_box(torch.sum, (EdgeType((3,)),), (EdgeType(()),)).make(seed=0)
    point = torch.ones(3, requires_grad=True)
    (value,) = oracle.answer("value", (point,), 0)
    value.backward()
    assert oracle.report() == {"queries_since": 1, "queries": 1, "values": 1, "gradients": 1}


def crash(point):
    raise ValueError("no such point")


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (
            lambda point: point,
            "oracle '<lambda>', question 'value': expected the answer (float32[4]), as declared; float32[4, 3] "
            "arrived. Make the oracle answer what its declaration says, or correct the declaration.",
        ),
        (
            lambda point: bowl(point).double(),
            "oracle '<lambda>', question 'value': expected the answer (float32[4]), as declared; float64[4] arrived. "
            "Make the oracle answer what its declaration says, or correct the declaration.",
        ),
        (
            lambda point: (bowl(point), bowl(point)),
            "oracle '<lambda>', question 'value': expected the answer (float32[4]), as declared; "
            "(float32[4], float32[4]) arrived. "
            "Make the oracle answer what its declaration says, or correct the declaration.",
        ),
        (
            lambda point: 1.0,
            "oracle '<lambda>', question 'value': expected the answer (float32[4]), as declared; a float arrived. "
            "Make the oracle answer what its declaration says, or correct the declaration.",
        ),
        (
            lambda point: bowl(point) / 0,
            "oracle '<lambda>', question 'value': output 0 has 4 of 4 numbers that are NaN or infinite; "
            "expected finite numbers. Check the function at the inputs it was handed.",
        ),
        (
            crash,
            "oracle 'crash', question 'value': expected an answer; ValueError was raised: no such point. "
            "Make the function take the inputs that it declares.",
        ),
    ],
)
@pytest.mark.parametrize("box", [black_box, gray_box])
def test_other_answers_are_refused(box, function, text):
    oracle = box(function, POINTS, VALUES, sizes=SIZES).make(seed=0)
    with pytest.raises(OracleError) as refused:
        oracle.answer("value", (torch.ones(4, 3),), 0)
    assert str(refused.value) == text


def test_a_checked_answer_is_the_answer_itself_and_a_black_one_is_detached():
    question = black_box(bowl, POINTS, VALUES, sizes=SIZES).questions[0]
    answer = torch.ones(4)
    (same,) = checked_answer("Nature", question, SIZES, (answer,))
    assert same is answer
    (detached,) = checked_answer("Nature", question, SIZES, (answer.clone().requires_grad_(),))
    assert not detached.requires_grad
