"""Test feedback alignment, and direct feedback alignment, on random networks and on a task that they learn."""

import functools
from collections.abc import Callable, Sequence

from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.suite import Case, Learning, Suite
from antiphon.checks.suites.backprop import labelled
from antiphon.checks.suites.random_networks import clusters, promising, random_layers
from antiphon.grammars import Aligns, Factory, Grammar
from antiphon.grammars.library.feedback_alignment import feedback_alignment
from antiphon.grammars.library.networks import activated_layers

Made = Callable[..., Grammar]


def dense(made: Made, seed: int) -> Grammar:
    """Make a grammar of a random dense network with three hidden layers, on random labels."""
    inputs, layers, classes = random_layers(seed)
    return promising(made(labelled(seed, (inputs,), classes), layers, seed=seed), without=Aligns)


def convolutional(made: Made, seed: int) -> Grammar:
    """Make a grammar of a convolution, a max-pool and two dense layers."""
    layers = {
        "Convolution": Factory.of(nn.Conv2d, 1, 2, 3, padding=1),
        "bend": Factory.of(nn.Tanh),
        "Second": Factory.of(nn.Conv2d, 2, 3, 3, padding=1),
        "pool": Factory.of(nn.AvgPool2d, 2),
        "flatten": Factory.of(nn.Flatten),
        "Output": Factory.of(nn.Linear, 18, 2),
    }
    return promising(made(labelled(seed, (1, 4, 6), 2), layers, seed=seed), without=Aligns)


def learning(made: Made, widths: Sequence[int], seed: int) -> Grammar:
    """Make a grammar of a network that learns to tell clusters apart. Its responses align with the gradients."""
    grammar = made(clusters(seed), activated_layers((8,), widths, 4), seed=seed)
    return promising(grammar, Aligns(tuple(f"Dense{index + 1}" for index in range(len(widths)))), without=Aligns)


def rule_suite(made: Made, name: str, *widths: int) -> Suite:
    """Return the suite of a rule of credit assignment.

    made: makes the grammar from Nature, layers and `seed`. widths: of the hidden layers of a network that learns.
    """
    cases = (
        Case("dense", functools.partial(dense, made)),
        Case("convolutional", functools.partial(convolutional, made), instances=4),
        Case(
            "learning",
            functools.partial(learning, made, widths),
            instances=4,
            learning=Learning(200, AgentSpecification.of("Adam", {"lr": 0.01})),
        ),
    )
    return Suite(name, cases)


SUITE = rule_suite(feedback_alignment, "feedback-alignment", 32)
DIRECT = rule_suite(functools.partial(feedback_alignment, direct=True), "direct-feedback-alignment", 24, 20)
