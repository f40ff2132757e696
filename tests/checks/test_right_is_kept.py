"""Right grammars whose values, inputs or surroundings are unusual: what plays and is right is kept."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax, mse_loss, soft_margin_loss

import antiphon


def spread_out(h: Tensor) -> Tensor:
    """A positive definite matrix for each example."""
    return h[:, :, None] * h[:, None, :] + torch.eye(h.shape[1])


def where_known(played: Tensor, target: Tensor) -> Tensor:
    known = ~target.isnan()
    return mse_loss(played[known], target[known])


def mean_gap(played: Tensor, target: Tensor) -> Tensor:
    return mse_loss(played.flatten(1).square().mean(1, keepdim=True), target)


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


def normalised(h: Tensor) -> Tensor:
    return h / h.norm().item() + torch.tensor(h.sum(1, keepdim=True).tolist()) * h / float(h.abs().max())


def constant(h: Tensor) -> Tensor:
    return h * h.new_tensor(h.detach().numpy().std()) + h.clone().detach_()


def switched_off(h: Tensor) -> Tensor:
    with torch.inference_mode():
        scale = h.abs().sum()
    return h * scale.clone()


def drawn(h: Tensor) -> Tensor:
    shape = torch.nn.functional.softplus(h) + 0.1
    return torch.distributions.Gamma(shape, 1.0).rsample() + torch.distributions.Dirichlet(shape).rsample()


def masked(h: Tensor) -> Tensor:
    hidden = torch.tensor([[True], [False]]).repeat(h.shape[0] // 2, 1)
    return h.masked_fill(hidden, torch.finfo(h.dtype).min).softmax(1) * h + (h + torch.where(hidden, -1e30, 0)).softmax(
        1
    )


def hidden(h: Tensor) -> Tensor:
    return (h + torch.tensor([0.0, 0, 1, 0]) * torch.tensor(torch.finfo(h.dtype).min)).softmax(1)


def spelled(h: Tensor) -> Tensor:
    scores = h.reshape(4, 2, 4).log_softmax(2)
    words = torch.tensor([[1], [2]])
    return torch.nn.functional.ctc_loss(scores, words, torch.tensor([4, 4]), torch.tensor([1, 1]), reduction="mean")


def curvature(h: Tensor) -> Tensor:
    return torch.func.vmap(torch.func.hessian(lambda row: row.pow(3).sum()))(h)


class Sine(torch.autograd.Function):
    """Written as users write them: its forward is cut from torch's records, though none are kept there."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        with torch.no_grad():
            return torch.from_numpy(np.sin(x.detach().numpy())) + x.data

    @staticmethod
    def backward(ctx, message: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return message * (ctx.saved_tensors[0].cos() + 1)


class Fast(torch.autograd.Function):
    """It bends many times within any step."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (1e11 * x).sin()

    @staticmethod
    def backward(ctx, message: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return message * 1e11 * (1e11 * ctx.saved_tensors[0]).cos()


class WithoutLength(nn.Linear):
    """As a compiled module is."""

    def __len__(self) -> int:
        raise TypeError("it has no length")

    def forward(self, input: Tensor) -> Tensor:
        return Sine.apply(super().forward(input))


class Clamped(nn.Linear):
    """Its weight is kept small whenever it plays."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.2, 0.2)
            self.weight.data /= self.weight.norm()
        return super().forward(input)


def alone(h: Tensor, _: Tensor) -> Tensor:
    return h.mean()


class Masked(nn.Linear):
    def __init__(self) -> None:
        super().__init__(6, 4)
        self.mask = nn.Parameter(torch.tensor([0.0, 0.1, -torch.inf, 0.2]))

    def forward(self, input: Tensor) -> Tensor:
        return (super().forward(input) + self.mask).softmax(1)[:, :2].exp()


MISSING = torch.rand(32, 1, generator=torch.Generator().manual_seed(1)).index_fill(0, torch.arange(0, 32, 4), torch.nan)
WORDS = torch.randint(0, 7, (32, 3), generator=torch.Generator().manual_seed(1))
GAMES = {
    "labels that are missing": partial(game, player=(nn.Linear, 6, 1), y=MISSING, loss=where_known),
    "a function of symmetric matrices": partial(game, spread_out, torch.linalg.cholesky),
    "padding": partial(game, player=(partial(nn.Embedding, 7, 4, padding_idx=0),), x=WORDS),
    "a parameter of minus infinity": partial(game, player=(Masked,)),
    "a function that bends within a step": partial(game, lambda h: torch.sin(1e7 * h)),
    "numbers taken out of a tensor": partial(game, normalised),
    "numbers copied out of a tensor": partial(game, constant),
    "a value without records": partial(game, switched_off),
    "a hard choice with a soft gradient": partial(game, partial(gumbel_softmax, hard=True)),
    "draws by rejection": partial(game, drawn),
    "a row that is masked as a whole": partial(game, masked),
    "the lowest number of a dtype, in another": partial(game, hidden),
    "a backward by hand of what bends within a step": partial(game, Fast.apply),
    "an alignment": partial(game, spelled, loss=alone),
    "a weight that is clamped in forward": partial(game, player=(Clamped, 6, 4)),
    "second derivatives of each example": partial(game, curvature),
    "an embedding of bounded norm": partial(game, player=(partial(nn.Embedding, 7, 4, max_norm=0.5),), x=WORDS),
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


def beside_what_is_fixed(h: Tensor) -> Tensor:
    with torch.no_grad():
        scale = Sine.apply(h).sum()
    return Sine.apply(h) * h.detach() * scale


@pytest.mark.parametrize(
    "right",
    [
        partial(game, Sine.apply),
        partial(game, beside_what_is_fixed),
        partial(game, player=(WithoutLength, 6, 4)),
        partial(game, player=(nn.Linear, 6, 1), loss=lambda h, y: soft_margin_loss(Sine.apply(h), y)),
    ],
)
def test_what_a_backward_by_hand_is_the_derivative_of_agrees_with_differences(right):
    report = antiphon.check_grammar(right(), instances=2)
    assert [row.verdict for row in report.rows] == ["kept"]
    assert "agrees" in report.text
