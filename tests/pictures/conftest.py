"""Grammars to be drawn: the essay's adversaries, a broadcast, five players, a deep one, a large one."""

import random
from collections.abc import Callable, Mapping

import pytest
import torch
from torch.nn.functional import logsigmoid, mse_loss

import antiphon
from antiphon import Grammar, QueryDraft, ResponseDraft, chain_rule, maximise, minimise, negate_into
from antiphon.experiments.load import read_experiment
from antiphon.grammars.chain_rule import Upstream
from antiphon.grammars.maps import fixed_matrix, scale
from antiphon.grammars.random_grammars import draw_grammar
from antiphon.grammars.writing import Message


def value(real, fake):
    return (logsigmoid(real) + logsigmoid(-fake)).mean()


def make_gan() -> Grammar:
    q = QueryDraft()
    noise = q.oracle("Noise", antiphon.gaussian((4,), batch=8))
    world = q.oracle("Environment", antiphon.arrays(torch.ones(16, 2), batch=8))
    forger = q.player("Forger", torch.nn.Linear, 4, 2)
    curator = q.player("Curator", torch.nn.Linear, 2, 1)
    objective = maximise(q.loss("L", value)(curator(world()), curator(forger(noise()))))
    return Grammar("gan", q.graph(), chain_rule(q, objective, edit=negate_into("Forger")), objective)


def make_broadcast() -> Grammar:
    """As kickback does it: one error, told to every layer; nothing is told from layer to layer."""
    q = QueryDraft()
    x, y = q.oracle("Nature", antiphon.arrays(torch.ones(16, 4), torch.ones(16, 1), batch=8))()
    hidden = q.player("Layer1", antiphon.Dense, 4, 3)(x)
    output = q.player("Layer2", torch.nn.Linear, 3, 1)(hidden)
    loss = q.loss("Loss", mse_loss)(output, y)
    r = ResponseDraft(q.graph())
    error = r.product(loss, r.seed(loss)).toward(0)
    kick = r.map(fixed_matrix, error, name="kick", matrix=torch.ones(1, 3))
    r.deliver("Layer2", r.product(output, error).parameters)
    r.deliver("Layer1", r.product(hidden, kick).parameters)
    return Grammar("broadcast", q.graph(), r.graph(), minimise(loss))


def make_five() -> Grammar:
    """Five players, two edits: what Hand tells Left is turned and halved, Right tells Eye nothing."""
    q = QueryDraft()
    x, y = q.oracle("Nature", antiphon.arrays(torch.ones(16, 4), torch.ones(16, 1), batch=8))()
    seen = q.player("Eye", antiphon.Dense, 4, 3)(x)
    left, right = q.player("Left", antiphon.Dense, 3, 2)(seen), q.player("Right", antiphon.Dense, 3, 2)(seen)
    reach = q.loss("Reach", mse_loss)(q.player("Hand", torch.nn.Bilinear, 2, 2, 1)(left, right), y)
    walk = q.loss("Walk", mse_loss)(q.player("Foot", torch.nn.Linear, 2, 1)(right), y)

    def halved(upstream: Upstream) -> Message:
        if upstream.target.owner != "Left":
            return upstream.message
        return upstream.response.map(scale, upstream.message, factor=-0.5)

    def cut(upstream: Upstream) -> Message | None:
        return None if (upstream.source.owner, upstream.target.owner) == ("Right", "Eye") else upstream.message

    objective = minimise(reach, walk)
    return Grammar("five", q.graph(), chain_rule(q, objective, edit=[halved, cut]), objective)


def make_deep(layers: int = 32) -> Grammar:
    network = antiphon.dense_layers((4,), widths=[4] * (layers - 1), classes=2)
    data = antiphon.arrays(torch.ones(16, 4), torch.zeros(16, dtype=torch.int64), batch=8)
    return antiphon.backprop(data, network)


def make_large() -> Grammar:
    """A random graph: a hundred nodes of Q and more."""
    return draw_grammar(random.Random(0).randrange, nodes=80)


MAKERS = {
    "gan": make_gan,
    "broadcast": make_broadcast,
    "five": make_five,
    "deep": make_deep,
    "large": make_large,
    "backprop": lambda: read_experiment("backprop").build(),
    "convolutional": lambda: read_experiment("backprop-convolutional").build(),
    "dac": lambda: read_experiment("dac").build(),
}


@pytest.fixture(scope="session")
def makers() -> Mapping[str, Callable[[], Grammar]]:
    return MAKERS


@pytest.fixture
def gan() -> Grammar:
    return make_gan()


@pytest.fixture
def broadcast() -> Grammar:
    return make_broadcast()


@pytest.fixture
def five() -> Grammar:
    return make_five()


@pytest.fixture(scope="session")
def dac() -> Grammar:
    return MAKERS["dac"]()


@pytest.fixture(scope="session", params=MAKERS)
def anyone(request) -> Grammar:
    """Each of them in turn."""
    return MAKERS[request.param]()
