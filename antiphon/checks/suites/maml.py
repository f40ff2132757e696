"""Test model-agnostic meta-learning on random networks: the gradient through the step of each task is exact."""

import random

from torch import nn
from torch.nn.functional import mse_loss

from antiphon.checks.suite import Case, Suite
from antiphon.envs.sinusoids import sinusoids
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library.maml import maml
from antiphon.grammars.library.networks import dense_layers


def network(seed: int) -> Grammar:
    """Make a grammar with a network of random widths, two or three layers, and a step of random size."""
    choose = random.Random(seed)
    widths = [choose.randint(2, 6) for _ in range(choose.randint(1, 2))]
    layers, tasks = dense_layers((1,), widths, 1, activation=nn.Tanh), sinusoids(batch=choose.randint(3, 8))
    return maml(tasks, layers, Factory.of(mse_loss), step=choose.uniform(0.01, 0.2), count=choose.randint(1, 3))


SUITE = Suite("maml", (Case("network", network, instances=8),))
