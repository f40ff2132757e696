"""Test sign-symmetry on random networks, on networks with one output, and on a task that it learns."""

import random
from collections.abc import Mapping

from torch import nn
from torch.nn.functional import mse_loss

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.feedback_alignment import rule_suite
from antiphon.checks.suites.random_networks import promising, taught
from antiphon.grammars import Aligns, Factory, Grammar, OracleDeclaration, SignCorrect
from antiphon.grammars.library.networks import activated_layers
from antiphon.grammars.library.sign_symmetry import sign_symmetry


def made(nature: OracleDeclaration, layers: Mapping[str, Factory], seed: int) -> Grammar:
    """Make the grammar. It draws no matrices, so the seed is not used."""
    return sign_symmetry(nature, layers)


def one_output(seed: int) -> Grammar:
    """Make a grammar of a network with one output. The messages about the highest hidden layer have the right signs."""
    choose = random.Random(seed)
    inputs, widths = choose.randint(2, 4), [choose.randint(2, 6) for _ in range(choose.randint(1, 2))]
    layers = activated_layers((inputs,), widths, 1, choose.choice([nn.Tanh, nn.Softplus]))
    grammar = sign_symmetry(taught(seed, inputs, 1, 16), layers, Factory.of(mse_loss))
    return promising(grammar, SignCorrect((f"Dense{len(widths)}",)), without=Aligns)


SUITE = Suite(
    "sign-symmetry",
    (*rule_suite(made, "sign-symmetry", 24, 20).cases, Case("one output", one_output)),
)
