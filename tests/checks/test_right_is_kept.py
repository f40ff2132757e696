"""Right grammars whose values, inputs or surroundings are unusual: what plays and is right is kept."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import antiphon


def spread_out(h: Tensor) -> Tensor:
    """A positive definite matrix for each example."""
    return h[:, :, None] * h[:, None, :] + torch.eye(h.shape[1])


def where_known(played: Tensor, target: Tensor) -> Tensor:
    known = ~target.isnan()
    return mse_loss(played[known], target[known])


def mean_gap(played: Tensor, target: Tensor) -> Tensor:
    return mse_loss(played.flatten(1).mean(1, keepdim=True), target)


def game(*operators, player=(nn.Linear, 6, 4), x=None, y=None, loss=mean_gap) -> antiphon.Grammar:
    """One player, some operators, a loss; R is the chain rule."""
    q, draw = antiphon.QueryDraft(), torch.Generator().manual_seed(0)
    x = torch.rand(32, 6, generator=draw) if x is None else x
    y = torch.rand(32, 1, generator=draw) if y is None else y
    x, y = q.oracle("Nature", antiphon.arrays(x, y, batch=8))()
    h = q.player("Player", *player)(x)
    for index, each in enumerate(operators):
        h = q.operator(f"operator{index}", each)(h)
    objective = antiphon.minimise(q.loss("Loss", loss)(h, y))
    return antiphon.Grammar("right", q.graph(), antiphon.chain_rule(q, objective), objective, antiphon.exact())


MISSING = torch.rand(32, 1, generator=torch.Generator().manual_seed(1)).index_fill(0, torch.arange(0, 32, 4), torch.nan)
WORDS = torch.randint(0, 7, (32, 3), generator=torch.Generator().manual_seed(1))
GAMES = {
    "labels that are missing": partial(game, player=(nn.Linear, 6, 1), y=MISSING, loss=where_known),
    "a function of symmetric matrices": partial(game, spread_out, torch.linalg.cholesky),
    "padding": partial(game, player=(partial(nn.Embedding, 7, 4, padding_idx=0),), x=WORDS),
    "a function that bends within a step": partial(game, lambda h: torch.sin(1e7 * h)),
}


@pytest.mark.parametrize("name", GAMES)
def test_what_is_right_is_kept(name):
    report = antiphon.check_grammar(GAMES[name](), instances=2)
    assert [row.verdict for row in report.rows] == ["kept"]


def test_an_operator_may_need_what_those_before_it_play():
    def near(h: Tensor, _: Tensor) -> Tensor:
        return h.square().mean()

    report = antiphon.check_grammar(game(torch.t, torch.cov, torch.linalg.cholesky, loss=near), instances=2)
    assert [row.verdict for row in report.rows] == ["kept"]


@pytest.mark.parametrize("surroundings", [torch.no_grad, torch.inference_mode])
def test_what_the_caller_has_switched_off_makes_no_difference(surroundings):
    with surroundings():
        report = antiphon.check_grammar(game(torch.tanh), instances=2)
    assert [row.verdict for row in report.rows] == ["kept"]
