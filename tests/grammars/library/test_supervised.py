"""Representation 1: one player against one loss; what it rests at is known for linear predictors."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.testing import assert_close

from antiphon.agents import AgentSpecification
from antiphon.envs import arrays
from antiphon.errors import ShapeError
from antiphon.grammars.factory import Factory
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library import supervised
from antiphon.grammars.library.penalty import Penalised, squared_norm
from antiphon.grammars.random_grammars import TanhLayer, samples
from antiphon.grammars.response import Product

F64 = torch.float64
LINEAR = Factory.of(nn.Linear, 4, 2, dtype=F64)
SQUARES = Factory.of(mse_loss)
DESCENT = AgentSpecification.of("SGD", {"lr": 0.1, "momentum": 0.9})


@pytest.fixture(scope="module")
def points() -> tuple[torch.Tensor, torch.Tensor]:
    """Forty pairs, not exactly linear."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 4, generator=generator, dtype=F64)
    noise = torch.randn(40, 2, generator=generator, dtype=F64)
    return x, x @ torch.randn(4, 2, generator=generator, dtype=F64) + 3 + noise


def test_a_linear_predictor_reaches_least_squares(points, learned):
    x, y = points
    game = supervised(arrays(x, y, batch=40), LINEAR, SQUARES)
    found = learned(game, DESCENT, 600)["Predictor"]
    solution = np.linalg.lstsq(np.column_stack([x, np.ones(40)]), y.numpy(), rcond=None)[0]
    assert_close(found["weight"].T, torch.from_numpy(solution[:4]), rtol=0, atol=1e-8)
    assert_close(found["bias"], torch.from_numpy(solution[4]), rtol=0, atol=1e-8)


def test_with_a_penalty_it_reaches_ridge_regression(points, learned):
    x, y = points
    omega = Factory.of(squared_norm, weight=0.3, biases=False)
    found = learned(supervised(arrays(x, y, batch=40), LINEAR, SQUARES, omega), DESCENT, 600)["Predictor"]
    # mse_loss is a mean over 40 x 2 numbers: beside 80 times it, the penalty weighs 80 * 0.3, and only on the slope.
    rows = np.column_stack([np.vstack([x, np.sqrt(24.0) * np.eye(4)]), np.append(np.ones(40), np.zeros(4))])
    solution = np.linalg.lstsq(rows, np.vstack([y.numpy(), np.zeros((4, 2))]), rcond=None)[0]
    assert_close(found["module.weight"].T, torch.from_numpy(solution[:4]), rtol=0, atol=1e-8)
    assert_close(found["module.bias"], torch.from_numpy(solution[4]), rtol=0, atol=1e-8)


@pytest.mark.parametrize("penalty", [None, Factory.of(squared_norm, weight=0.5)])
def test_the_response_is_the_gradient_of_the_objective(penalty, told):
    game = supervised(samples(5, (3,), (2,)), Factory.of(TanhLayer, 3, 2), SQUARES, penalty)
    found, expected, _ = told(game)
    for one, two in zip(found["Predictor"], expected["Predictor"], strict=True):
        assert_close(one, two, rtol=1e-12, atol=0)
    assert game.guarantee.categories == (Category.EXACT,)


def test_the_penalty_is_one_more_output_and_one_more_cotangent():
    plain = supervised(samples(5, (3,), (2,)), Factory.of(TanhLayer, 3, 2), SQUARES)
    game = supervised(samples(5, (3,), (2,)), Factory.of(TanhLayer, 3, 2), SQUARES, Factory.of(squared_norm))
    assert [len(each.query.by_name["Predictor"].outputs) for each in (plain, game)] == [1, 2]
    assert repr(game.query.by_name["Predictor"].outputs) == "(float64[batch, 2], float64[])"
    product = game.response.by_name["Predictor *"]
    assert isinstance(product, Product)
    assert [port and port.node for port in product.cotangents] == ["Loss *", "Omega *"]
    assert repr(game.objective) == "minimise Loss + Omega"


def test_a_penalised_module_plays_what_the_module_plays():
    torch.manual_seed(0)
    module = Penalised(Factory.of(nn.Bilinear, 2, 3, 4), Factory.of(squared_norm, weight=2.0, biases=False))
    one, two = torch.randn(5, 2), torch.randn(5, 3)
    played, omega = module(one, two)
    weight, bias = module.parameters()
    assert_close(played, module.module(one, two))
    assert_close(omega, 2 * weight.square().sum())
    assert_close(squared_norm(module.module), weight.square().sum() + bias.square().sum())


def test_a_penalty_that_is_no_scalar_is_refused(refusal):
    def columns(module):
        return module.weight.square().sum(0)

    text = refusal(
        ShapeError,
        lambda: supervised(
            samples(5, (3,), (2,)), Factory.of(nn.Linear, 3, 2, dtype=F64), SQUARES, Factory.of(columns)
        ),
    )
    assert text == ("loss 'Omega' plays float64[3]; expected one scalar of shape (). Return the mean over the batch.")
