"""The grammars of one player give the same numbers in one process and on Ray, bitwise."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from antiphon.agents import AgentSpecification
from antiphon.envs import arrays, chooser, markov, random_walk
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import (
    double_residual_gradient,
    implicit_temporal_difference,
    maximum_a_posteriori,
    supervised,
    tdc,
    temporal_difference,
)
from antiphon.grammars.library.densities import GaussianDensity, normal_inverse_wishart
from antiphon.grammars.library.networks import Perceptron, StateAction
from antiphon.grammars.library.penalty import squared_norm
from rigs.equality import check_same_on_ray

pytestmark = pytest.mark.slow

ROUNDS = 60
WALK = random_walk(7)
POINTS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


def penalised() -> Grammar:
    """One player, two losses."""
    nature = arrays(POINTS, POINTS[:, :2].sin(), batch=7)
    penalty = Factory.of(squared_norm, weight=0.01)
    return supervised(nature, Factory.of(Perceptron, 3, 2, (9, 5)), Factory.of(mse_loss), penalty)


def gaussian() -> Grammar:
    """With a prior that carries tensors."""
    prior = Factory.of(normal_inverse_wishart, center=torch.zeros(3), scale=torch.eye(3), strength=2.0, freedom=5.0)
    return maximum_a_posteriori(arrays(POINTS, batch=9), Factory.of(GaussianDensity, 3), prior, 40)


def walked() -> Grammar:
    """A clone, and an Actor whom Nature follows."""
    nature, actor = markov(WALK, play="walk", batch=5), chooser(WALK, [0] * 9, size=5)
    return temporal_difference(nature, Factory.of(StateAction, 7, 1, 1, (6,)), actor, clone_every=4)


def corrected() -> Grammar:
    """Two players, taps."""
    network = Factory.of(Perceptron, 7, 1, (6,))
    return tdc(markov(WALK, play="draw", batch=5), network, network)


def twice() -> Grammar:
    """One player, asked three times."""
    return double_residual_gradient(markov(WALK), Factory.of(Perceptron, 7, 1, (6,)))


def solved() -> Grammar:
    """A map that solves."""
    return implicit_temporal_difference(markov(WALK, play="draw", batch=5), Factory.of(nn.Linear, 7, 1), step=0.1)


@pytest.mark.parametrize("make", [penalised, gaussian, walked, corrected, twice, solved])
def test_a_run_is_bitwise_the_same_in_one_process_and_on_ray(make: Callable[[], Grammar], pool) -> None:
    agent = AgentSpecification.of("SGD", {"lr": 0.05, "momentum": 0.5})
    check_same_on_ray(make(), agent, ROUNDS, make.__name__, pool)
