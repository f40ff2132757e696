"""Random networks and data for the suites of grammars that differ in how credit reaches the layers."""

import random
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar, Guarantee, OracleDeclaration, Promise
from antiphon.grammars.library.networks import activated_layers

BATCH = 16


def random_layers(seed: int, hidden: int = 3) -> tuple[int, Mapping[str, Factory], int]:
    """Return (inputs, layers, classes) of a random dense network. No two hidden layers have the same width."""
    choose = random.Random(seed)
    inputs, classes = choose.randint(2, 5), choose.randint(2, 3)
    activation = choose.choice([nn.Tanh, nn.ReLU, nn.Softplus])
    return inputs, activated_layers((inputs,), choose.sample(range(4, 10), hidden), classes, activation), classes


def taught(seed: int, inputs: int, outputs: int, size: int) -> OracleDeclaration:
    """Declare a data set of normal examples whose targets are those of a random tanh network, with noise.

    size: number of examples. Every batch is the whole data set.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, inputs, generator=generator)
    first, second = torch.randn(inputs, 20, generator=generator), torch.randn(20, outputs, generator=generator)
    y = torch.tanh(x @ first / inputs**0.5) @ second / 20**0.5
    return arrays(x, y + 0.1 * torch.randn(size, outputs, generator=generator), batch=size, shuffle=False)


def clusters(seed: int, classes: int = 4, size: int = 64) -> OracleDeclaration:
    """Declare a data set of `size` examples of 8 numbers: a normal cluster for each class. A batch is the whole set.

    On this task, the angles between responses and gradients are well defined, because some examples stay hard.
    """
    generator = torch.Generator().manual_seed(seed)
    centres, y = torch.randn(classes, 8, generator=generator), torch.arange(size) % classes
    return arrays(centres[y] + 0.7 * torch.randn(size, 8, generator=generator), y, batch=size, shuffle=False)


def promising(grammar: Grammar, *promises: Promise, without: type | tuple[type, ...] = ()) -> Grammar:
    """Return a copy of a grammar with other promises.

    promises: these are added. without: promises of these classes are left out.
    """
    kept = (each for each in grammar.guarantee.promises if not isinstance(each, without))
    return replace(grammar, guarantee=Guarantee((*kept, *promises)))
