"""Two values tell of a gradient: on average exactly where R is quadratic, up to the square of the perturbation else."""

import itertools
import math

import pytest
import torch

from antiphon.errors import BlackBoxError, ShapeError
from antiphon.grammars.factory import Factory
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library.black_box_descent import black_box_descent, simultaneous_perturbation
from antiphon.grammars.library.gray_box_descent import gray_box_descent
from antiphon.grammars.library.point import Point
from antiphon.grammars.objective import Direction
from antiphon.grammars.oracle import Box, OracleDeclaration, Question
from antiphon.grammars.random_grammars import Samples, batch_of, samples
from antiphon.grammars.response import Product, Seed, Tap
from antiphon.grammars.types import EdgeType, Order

POINT, NUMBER = EdgeType((4,), torch.float64), EdgeType((), torch.float64)
PLAYER = Factory.of(Point, 4, dtype=torch.float64)


def box_of(point: EdgeType, value: EdgeType, box: Box) -> OracleDeclaration:
    """An oracle that nobody asks in these tests."""
    return OracleDeclaration(Factory.of(Samples), (Question("value", (point,), (value,), box),))


def made(**options):
    return black_box_descent(box_of(batch_of(4), batch_of(), Box.BLACK), samples(3, (4,)), PLAYER, **options)


def signs(dimension: int) -> torch.Tensor:
    """Every vector of signs, once: (2^dimension, dimension)."""
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=dimension)), dtype=torch.float64)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(function, theta):
    return torch.func.grad(lambda point: function(point[None])[0])(theta)


def estimate(function, theta, eps):
    return simultaneous_perturbation(function(theta + eps), function(theta - eps), eps)


def quadratic(dimension: int, seed: int = 0):
    matrix, linear = draw(dimension, dimension, seed=seed), draw(dimension, seed=seed + 1)
    return lambda points: ((points @ matrix) * points).sum(1) + points @ linear + 3


def quartic(points):
    """Mixed terms of degree three and four."""
    neighbours = points.roll(1, dims=1)
    return (points.pow(4) + points * neighbours.pow(3) + points.square() * neighbours).sum(1)


def smooth(points):
    return (points.sum(1) / 2).sin() + points.roll(1, dims=1).mul(points).sum(1).exp()


@pytest.mark.parametrize("dimension", [1, 2, 5, 8])
@pytest.mark.parametrize("radius", [1e-2, 1.0])
def test_on_a_quadratic_the_mean_over_all_signs_is_the_gradient(dimension, radius):
    function, theta = quadratic(dimension), draw(dimension, seed=7)
    found, expected = estimate(function, theta, radius * signs(dimension)), gradient(function, theta)
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_each_single_estimate_is_spalls():
    function, theta = quadratic(5), draw(5, seed=7)
    for eps in 0.1 * signs(5):
        ahead, behind = function((theta + eps)[None]), function((theta - eps)[None])
        spall = (ahead - behind) / (2 * eps)
        torch.testing.assert_close(estimate(function, theta, eps[None]), spall, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("function", [quartic, smooth])
def test_elsewhere_its_bias_is_of_the_order_of_the_squared_perturbation(function):
    theta = draw(4, seed=3) / 2
    biases = [(estimate(function, theta, c * signs(4)) - gradient(function, theta)).norm() for c in (0.02, 0.01, 0.005)]
    slopes = [math.log2(wide / narrow) for wide, narrow in itertools.pairwise(biases)]
    assert slopes == pytest.approx([2.0, 2.0], abs=0.01)


def test_the_bias_of_separate_fourth_powers_is_known():
    theta = draw(4, seed=3)
    found = estimate(lambda points: points.pow(4).sum(1), theta, 0.1 * signs(4))
    torch.testing.assert_close(found - 4 * theta.pow(3), 4 * 0.1**2 * theta, rtol=1e-9, atol=1e-12)


def test_along_the_axes_it_is_the_quotient_of_central_differences():
    theta, c = draw(4, seed=3), 0.1
    eps = c * torch.eye(4, dtype=torch.float64)
    differences = (quartic(theta + eps) - quartic(theta - eps)) / (2 * c)
    torch.testing.assert_close(estimate(quartic, theta, eps), differences, rtol=1e-12, atol=1e-12)


def test_gaussian_noise_estimates_without_bias_too():
    function, theta = quadratic(3), draw(3, seed=7)
    expected = gradient(function, theta)
    assert (estimate(function, theta, draw(400_000, 3, seed=9)) - expected).norm() < 0.02 * expected.norm()


def test_the_oracles_derivative_is_not_asked_and_theta_is_answered_by_taps():
    grammar = made()
    nodes = grammar.response.nodes
    assert [node.of for node in nodes if isinstance(node, Product)] == ["Player"]
    assert [node.port.node for node in nodes if isinstance(node, Tap)] == [
        "Oracle.value", "Oracle.value#2", "Noise.sample",
    ]  # fmt: skip
    assert not any(isinstance(node, Seed) for node in nodes)
    told = {port.node: kind.order for port, kind in grammar.message_types.items()}
    assert told["simultaneous_perturbation"] is Order.ZEROTH
    assert grammar.guarantee.categories == (Category.ESTIMATED,)


def test_a_reward_is_climbed():
    up, down = (made(direction=direction).response.by_name["simultaneous_perturbation"] for direction in
                (Direction.MAXIMISE, Direction.MINIMISE))  # fmt: skip
    assert "factor=-1.0" in repr(up)
    assert "factor=1.0" in repr(down)


def test_the_gray_one_is_the_chain_rule_through_the_oracle():
    grammar = gray_box_descent(box_of(POINT, NUMBER, Box.GRAY), PLAYER)
    assert [node.of for node in grammar.response.nodes if isinstance(node, Product)] == [
        "Value", "Oracle.value", "Player",
    ]  # fmt: skip
    assert grammar.guarantee.categories == (Category.EXACT,)


def test_the_gray_one_refuses_a_black_box(refusal):
    text = refusal(BlackBoxError, lambda: gray_box_descent(box_of(POINT, NUMBER, Box.BLACK), PLAYER))
    assert text.startswith(
        "the chain rule needs a gradient of 'value' from oracle 'Oracle' on the way to player 'Player'"
    )


def test_a_box_for_other_points_is_refused(refusal):
    box = box_of(batch_of(5), batch_of(), Box.BLACK)
    text = refusal(ShapeError, lambda: black_box_descent(box, samples(3, (4,)), PLAYER))
    assert text == (
        "oracle 'Oracle', question 'value', takes float64[batch, 5] as input 0, but ahead plays float64[batch, 4]. "
        "Declare the same shape and dtype on both sides of this edge."
    )


def test_a_point_plays_its_parameters_in_memory_of_its_own():
    point = Point(3, start=2.0)
    played = point()
    assert torch.equal(played, torch.full((3,), 2.0))
    assert played.data_ptr() != point.theta.data_ptr()
