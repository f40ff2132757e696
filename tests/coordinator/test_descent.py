"""The two protocols of Definition 3, played: the same minimum, and as many queries as the grammar says."""

import itertools

import pytest
import torch

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.envs.dataset import arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import black_box_descent, gray_box_descent
from antiphon.grammars.library.point import Point
from antiphon.grammars.objective import Direction
from antiphon.grammars.query import Kind
from antiphon.grammars.response import Product
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles import black_box, coordinates, gray_box, rademacher

DIMENSION, TARGET = 5, 4.0
DESCENT = AgentSpecification.of("SGD", {"lr": 0.1})
PLAYER = Factory.of(Point, DIMENSION, dtype=torch.float64)


def bowl(points):
    """Its minimum is at (4, ..., 4); coordinates are coupled. (..., dimension) -> (...)."""
    away = points - TARGET
    return away.square().sum(-1) / 2 + away.sum(-1).square() / 20


def hill(points):
    return -bowl(points)


def black(noise, function=bowl, **options) -> Grammar:
    points, values = EdgeType((Batch(), DIMENSION), torch.float64), EdgeType((Batch(),), torch.float64)
    box = black_box(function, [points], [values], sizes=dict(noise.sizes))
    return black_box_descent(box, noise, PLAYER, **options)


def gray(function=bowl, **options) -> Grammar:
    box = gray_box(function, [EdgeType((DIMENSION,), torch.float64)], [EdgeType((), torch.float64)])
    return gray_box_descent(box, PLAYER, **options)


def signs(batch: int = 1):
    return rademacher((DIMENSION,), batch=batch, scale=0.1, dtype=torch.float64)


AXES = coordinates(DIMENSION, scale=0.1, dtype=torch.float64)
EVERY_SIGN = arrays(
    0.1 * torch.tensor(list(itertools.product([-1.0, 1.0], repeat=DIMENSION)), dtype=torch.float64),
    batch=2**DIMENSION,
    shuffle=False,
)
GAMES = {
    "signs": lambda **options: black(signs(), **options),
    "four pairs of signs": lambda **options: black(signs(4), **options),
    "axes": lambda **options: black(AXES, **options),
    "gray": gray,
}


def said(grammar: Grammar) -> dict[str, int]:
    """What one round asks of Oracle, read off the grammar: its nodes in Q, and the products at them in R."""
    asked = [node for node in grammar.query.nodes if node.kind is Kind.ORACLE and node.owner == "Oracle"]
    shape = grammar.query.type_of(asked[0].inputs[0]).shape
    batch = grammar.query.sizes["batch"] if isinstance(shape[0], Batch) else 1
    told = [each for each in grammar.response.nodes if isinstance(each, Product) and each.of in {n.name for n in asked}]
    return {"queries": len(asked), "values": len(asked) * batch, "gradients": len(told) * batch}


@pytest.mark.parametrize("name", GAMES)
def test_what_is_asked_in_a_round_is_what_the_grammar_says(name):
    grammar = GAMES[name]()
    with InlineExecutor(assign(grammar, DESCENT)) as executor:
        for rounds in (1, 2, 4):
            executor.play(rounds)
        report = executor.play(3).reports["Oracle"]
    expected = said(grammar)
    assert report == {"queries_since": 3 * expected["queries"], **{key: 10 * n for key, n in expected.items()}}


def test_two_values_against_one_gradient_against_twice_the_dimension():
    assert said(GAMES["signs"]()) == {"queries": 2, "values": 2, "gradients": 0}
    assert said(GAMES["four pairs of signs"]()) == {"queries": 2, "values": 8, "gradients": 0}
    assert said(GAMES["axes"]()) == {"queries": 2, "values": 2 * DIMENSION, "gradients": 0}
    assert said(GAMES["gray"]()) == {"queries": 1, "values": 1, "gradients": 1}


@pytest.mark.parametrize("function", [bowl, hill])
def test_over_all_signs_the_black_player_hears_what_the_gray_one_hears(function):
    direction = Direction.MINIMISE if function is bowl else Direction.MAXIMISE
    heard = []
    for grammar in (
        black(EVERY_SIGN, function, direction=direction),
        black(AXES, function, direction=direction),
        gray(function, direction=direction),
    ):
        with InlineExecutor(assign(grammar, RECORDER)) as executor:
            executor.play(1)
            heard.append(delivered(executor)["Player"][0])
    exact = torch.func.grad(bowl)(torch.zeros(DIMENSION, dtype=torch.float64))
    for each in heard:
        assert (each - exact).abs().max() <= 1e-10 * exact.abs().max()


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("function", [bowl, hill])
def test_every_player_reaches_the_optimum(name, function):
    direction = Direction.MINIMISE if function is bowl else Direction.MAXIMISE
    grammar = GAMES[name](function=function, direction=direction)
    with InlineExecutor(assign(grammar, DESCENT)) as executor:
        executor.play(600)
        theta = executor.states()["Player"]["parameters"]["theta"]
    assert (theta - TARGET).norm() < 1e-6


def test_a_saved_game_goes_on_with_its_counts():
    grammar = GAMES["signs"]()
    with InlineExecutor(assign(grammar, DESCENT)) as executor:
        executor.play(3)
        states = executor.states()
        executor.play(2)
        expected = executor.states()
    with InlineExecutor(assign(grammar, DESCENT)) as executor:
        executor.load(states, 3)
        report = executor.play(2).reports["Oracle"]
        assert torch.equal(
            executor.states()["Player"]["parameters"]["theta"], expected["Player"]["parameters"]["theta"]
        )
    assert report == {"queries_since": 4, "queries": 10, "values": 10, "gradients": 0}
