"""Test the grammar of supervised learning: gradients are exact, and a linear predictor reaches ridge regression."""

import random
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from antiphon.checks.suite import Case, Learning, Suite, descent
from antiphon.envs import arrays
from antiphon.grammars import Arrives, Factory, Grammar, Learned, promised
from antiphon.grammars.library import supervised
from antiphon.grammars.library.networks import Perceptron
from antiphon.grammars.library.penalty import squared_norm

BATCH = 8


def network(seed: int) -> Grammar:
    """Make a grammar of supervised learning with a random ReLU network.

    The seed chooses between classification and regression, and between a loss with and without a penalty.
    """
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    inputs, outputs = choose.randint(2, 6), choose.randint(2, 4)
    x = torch.randn(BATCH, inputs, generator=generator)
    predictor = Factory.of(Perceptron, inputs, outputs, [choose.randint(2, 8) for _ in range(choose.randint(0, 2))])
    penalty = Factory.of(squared_norm, weight=choose.random()) if choose.random() < 0.5 else None
    if choose.random() < 0.5:
        labels = torch.randint(outputs, (BATCH,), generator=generator)
        return supervised(arrays(x, labels, batch=BATCH), predictor, Factory.of(cross_entropy), penalty)
    y = torch.randn(BATCH, outputs, generator=generator)
    return supervised(arrays(x, y, batch=BATCH), predictor, Factory.of(mse_loss), penalty)


def ridge(seed: int) -> Grammar:
    """Make a grammar of supervised learning with a linear predictor and a penalty on its weights, but not its bias.

    Each batch is the whole data set. The known solution is that of ridge regression.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4 * BATCH, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(4 * BATCH, 1, generator=generator, dtype=torch.float64)
    predictor = Factory.of(nn.Linear, 3, 1, dtype=torch.float64)
    penalty = Factory.of(squared_norm, weight=0.1, biases=False)
    grammar = supervised(arrays(x, y, batch=len(x), shuffle=False), predictor, Factory.of(mse_loss), penalty)
    distance = Factory.of(from_ridge, x=x, y=y, weight=0.1)
    known = promised(Learned(("Predictor",), distance, 1e-6, "ridge regression"), Arrives())
    return replace(grammar, guarantee=grammar.guarantee + known)


def from_ridge(modules: dict[str, nn.Module], values: object, x: Tensor, y: Tensor, weight: float) -> Tensor:
    """Return the largest difference between the parameters of Predictor and those of ridge regression, 0-d.

    x, y: the data set. weight: the factor of the penalty.
    """
    slope, offset = modules["Predictor"].parameters()
    away_x, away_y = x - x.mean(0), y - y.mean(0)
    solved = torch.linalg.solve(away_x.T @ away_x / len(x) + weight * torch.eye(x.shape[1]), away_x.T @ away_y / len(x))
    solved_offset = y.mean(0) - x.mean(0) @ solved
    return torch.cat([(slope.T - solved).reshape(-1), offset - solved_offset]).abs().max()


SUITE = Suite(
    "supervised",
    (
        Case("networks", network, instances=20),
        Case("ridge regression", ridge, instances=2, learning=Learning(200, descent(0.2, momentum=0.8))),
    ),
)
