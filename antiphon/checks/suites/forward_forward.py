"""Test the forward-forward grammar on random networks: each layer receives the gradient of its own loss alone."""

import itertools
import random

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.backprop import BATCH, labelled
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import forward_forward
from antiphon.grammars.library.networks import Dense
from antiphon.oracles import gaussian


def dense(seed: int) -> Grammar:
    """Make a forward-forward grammar of a random network with two to four layers, on random labels."""
    choose = random.Random(seed)
    inputs, classes = choose.randint(2, 5), choose.randint(2, 4)
    widths = [inputs + classes, *choose.sample(range(10, 20), choose.randint(2, 4))]
    layers = {f"Dense{index}": Factory.of(Dense, *sizes) for index, sizes in enumerate(itertools.pairwise(widths))}
    noise = gaussian((classes,), batch=BATCH)
    return forward_forward(labelled(seed, (inputs,), classes), noise, layers, classes, threshold=0.3)


SUITE = Suite("forward-forward", (Case("dense", dense, instances=20),))
