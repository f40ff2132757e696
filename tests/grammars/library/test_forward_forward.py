"""The forward-forward algorithm: each layer has its own loss, and no gradient leaves it."""

import itertools

import pytest
import torch
from torch.nn.functional import logsigmoid

from antiphon.envs import arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import Dense, forward_forward
from antiphon.grammars.library.forward_forward import labelled, mislabelled, normalised
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.grammars.query import Port
from antiphon.oracles import gaussian

BATCH, CLASSES, WIDTHS, THRESHOLD = 12, 4, (9, 7, 6), 0.4


@pytest.fixture
def grammar():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(BATCH, 5, generator=generator), torch.randint(CLASSES, (BATCH,), generator=generator)
    sizes = itertools.pairwise([5 + CLASSES, *WIDTHS])
    layers = {f"Layer{index}": Factory.of(Dense, *each) for index, each in enumerate(sizes)}
    noise = gaussian((CLASSES,), batch=BATCH)
    return forward_forward(arrays(x, y, batch=BATCH), noise, layers, CLASSES, threshold=THRESHOLD)


def test_each_layer_receives_the_gradient_of_its_own_logistic_loss(grammar, first_round):
    with in_double():
        told, composed = first_round(in_float64(grammar))
        true, false = composed.values[Port("label")], composed.values[Port("mislabel")]
        for name, module in composed.modules.items():
            true, false = module(true.detach()), module(false.detach())
            odds = [(each**2).sum(1) - each.shape[1] * THRESHOLD for each in (true, false)]
            loss = -(logsigmoid(odds[0]) + logsigmoid(-odds[1])).mean()
            found = torch.autograd.grad(loss, [*module.parameters()])
            assert all(torch.allclose(*pair, rtol=1e-10, atol=0) for pair in zip(told[name], found, strict=True))
            true, false = (each / (each**2).mean(1, keepdim=True).sqrt() for each in (true, false))


def test_a_wrong_label_is_any_of_the_others():
    x, y = torch.zeros(6000, 2), torch.arange(6000) % 3
    draws = torch.randn(6000, 3, generator=torch.Generator().manual_seed(0))
    wrong = mislabelled(x, y, draws)[:, :3].argmax(1)
    counts = torch.bincount(3 * y + wrong, minlength=9).reshape(3, 3)
    assert counts.diagonal().tolist() == [0, 0, 0]
    assert (counts + 1000 * torch.eye(3) - 1000).abs().max() < 100  # four standard deviations of 1000


def test_the_label_stands_before_the_example():
    assert labelled(torch.tensor([[5.0, 6.0]]), torch.tensor([1]), 3).tolist() == [[0, 1, 0, 5, 6]]


def test_the_next_layer_cannot_read_the_mean_square():
    h = torch.rand(8, 5)
    assert torch.allclose(normalised(h), normalised(3 * h)) and torch.allclose(
        normalised(h).square().mean(1), torch.ones(8)
    )
