"""Test the transformer grammar: all gradients are exact, also of the embedding matrix, which is used twice."""

import random

import torch

from antiphon.checks.suite import Case, Suite
from antiphon.envs import arrays
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.transformer import transformer

BATCH = 4


def small(seed: int) -> Grammar:
    """Make a transformer grammar with one to three narrow blocks, on random symbols."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    symbols, context, heads = choose.randint(3, 7), choose.randint(2, 5), choose.randint(1, 2)
    windows = torch.randint(symbols, (BATCH, context + 1), generator=generator)
    nature = arrays(windows[:, :-1], windows[:, 1:], batch=BATCH)
    return transformer(nature, choose.randint(1, 3), heads * choose.randint(2, 4), heads, context, symbols)


SUITE = Suite("transformer", (Case("small", small, instances=6),))
