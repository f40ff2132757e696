"""Grammars of what users write: one for each module, and some of operators and losses with a dtype of their own."""

import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import antiphon
from antiphon.grammars import Grammar, OracleDeclaration
from tests.checks.written_by_users import PROMOTED, SINGLE, WIDTH, Embedded, Modulus, Rotation

BATCH = 4


def hot(labels: Tensor) -> Tensor:
    """Integers in, float32 out."""
    return F.one_hot(labels, WIDTH).float()


def weighted(scores: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy with a weight for each class, and some examples masked out."""
    kept = labels != 1
    losses = F.cross_entropy(scores.float(), labels, weight=weight, reduction="none")
    return torch.where(kept, losses, torch.zeros(1)).sum() / torch.tensor(len(labels), dtype=torch.float16)


def linear(x: Tensor) -> Tensor:
    """An operator with a constant of its own that names a dtype."""
    return torch.einsum("bi,io->bo", x, torch.linspace(0, 1, WIDTH * WIDTH, dtype=torch.float32).view(WIDTH, WIDTH))


def numbers(labels: bool = False) -> OracleDeclaration:
    """Points and targets, or points and labels."""
    draw = torch.Generator().manual_seed(3)
    targets = torch.randint(WIDTH, (16,), generator=draw) if labels else torch.randn(16, WIDTH, generator=draw)
    return antiphon.arrays(torch.randn(16, WIDTH, generator=draw), targets, batch=BATCH)


def game(module: Callable[[], nn.Module]) -> Grammar:
    """The module behind a linear player, against targets; exact."""
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", numbers())()
    played = q.player("Module", module)(q.player("First", nn.Linear, WIDTH, WIDTH)(x))
    objective = antiphon.minimise(q.loss("Loss", F.mse_loss)(played, y))
    return Grammar("users", q.graph(), antiphon.chain_rule(q, objective), objective, antiphon.exact())


def one_hot() -> Grammar:
    """An operator of labels, and one of scores."""
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", numbers(labels=True))()
    played = q.operator("linear", linear)(q.player("First", nn.Linear, WIDTH, WIDTH)(x))
    objective = antiphon.minimise(q.loss("Loss", F.mse_loss)(played, q.operator("hot", hot)(y)))
    return Grammar("hot", q.graph(), antiphon.chain_rule(q, objective), objective, antiphon.exact())


def class_weights() -> Grammar:
    """A loss that carries a tensor."""
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", numbers(labels=True))()
    weight = torch.linspace(0.1, 1, WIDTH)
    loss = q.loss("Loss", weighted, weight=weight)(q.player("First", nn.Linear, WIDTH, WIDTH)(x), y)
    objective = antiphon.minimise(loss)
    return Grammar("weights", q.graph(), antiphon.chain_rule(q, objective), objective, antiphon.exact())


def embedded() -> Grammar:
    """A player of integers, whose gradient is sparse."""
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", antiphon.arrays(torch.arange(16) % 9, torch.randn(16, WIDTH), batch=BATCH))()
    objective = antiphon.minimise(q.loss("Loss", F.mse_loss)(q.player("Module", Embedded)(x), y))
    return Grammar("embedded", q.graph(), antiphon.chain_rule(q, objective), objective, antiphon.exact())


def complex_numbers() -> Grammar:
    """Players that tell each other complex numbers."""
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", numbers())()
    played = q.player("Modulus", Modulus)(q.player("Rotation", Rotation)(x))
    objective = antiphon.minimise(q.loss("Loss", F.mse_loss)(played, y))
    return Grammar("complex", q.graph(), antiphon.chain_rule(q, objective), objective, antiphon.exact())


GAMES: Mapping[str, Callable[[], Grammar]] = {
    **{each.__name__: functools.partial(game, each) for each in (*PROMOTED, *SINGLE)},
    **{each.__name__: each for each in (one_hot, class_weights, embedded, complex_numbers)},
}
"""Everything, by name."""
