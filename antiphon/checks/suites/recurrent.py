"""Test the recurrent grammar: gradients through time are exact, or, truncated, those of the loss with held states."""

import random

import torch

from antiphon.checks.suite import Case, Suite
from antiphon.envs import arrays
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.recurrent import recurrent
from antiphon.grammars.truncation import Truncation
from antiphon.oracles import memory

BATCH = 4


def small(seed: int, steps: int | None = None, truncation: Truncation | None = None) -> Grammar:
    """Make a grammar with one or two layers of narrow cells, on random symbols. Some examples begin in each round."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    symbols, width, layers = choose.randint(3, 7), choose.randint(2, 4), choose.randint(1, 2)
    steps = steps or choose.randint(1, 6)
    windows = torch.randint(symbols, (3 * BATCH, steps + 1), generator=generator)
    begins = torch.rand(len(windows), generator=generator) < 0.3
    nature = arrays(windows[:, :-1], windows[:, 1:], begins, batch=BATCH)
    states = memory(*[(width,)] * (2 * layers), batch=BATCH)
    return recurrent(nature, states, width, symbols, layers, truncation)


def shortened(seed: int) -> Grammar:
    """Make such a grammar with truncated gradients; the windows may overlap, and the last one may be short."""
    choose = random.Random(seed + 1)
    steps = choose.randint(3, 7)
    through = choose.randint(1, steps - 1)
    return small(seed, steps, Truncation(through, choose.randint(1, through)))


SUITE = Suite("recurrent", (Case("small", small, instances=4), Case("truncated", shortened, instances=3)))
