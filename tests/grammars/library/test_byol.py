"""BYOL: the loss is the squared distance of directions, and only players, not clones, receive its gradient."""

import torch
from torch.nn.functional import normalize

from antiphon.checks.suites.byol import dense
from antiphon.grammars.library.byol import apart_by_angle
from antiphon.grammars.library.views import moved
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.grammars.query import Port


def test_each_player_receives_the_gradient_for_fixed_targets(first_round):
    grammar = in_float64(dense(0))
    with in_double():
        told, composed = first_round(grammar)
        encode, project, predict = (composed.modules[name] for name in ("Encoder", "Projector", "Predictor"))
        views, loss = [composed.values[Port(name)] for name in ("view", "view#2")], torch.zeros(())
        for here, there in (views, views[::-1]):
            with torch.no_grad():  # the clones are their players, in the first round
                target = normalize(project(encode(there)))
            loss = loss + (normalize(predict(project(encode(here)))) - target).square().sum(1).mean()
        for name, module in (("Encoder", encode), ("Projector", project), ("Predictor", predict)):
            found = torch.autograd.grad(loss, [*module.parameters()], retain_graph=True)
            ours, other = (torch.cat([each.flatten() for each in gradients]) for gradients in (told[name], found))
            assert (ours - other).abs().max() <= 1e-10 * other.abs().max()


def test_the_two_views_of_an_image_differ(first_round):
    _, composed = first_round(dense(0))
    assert not torch.allclose(composed.values[Port("view")], composed.values[Port("view#2")])


def test_the_loss_lies_between_zero_and_four():
    a = torch.randn(5, 3)
    assert torch.allclose(
        torch.stack([apart_by_angle(a, 2 * a), apart_by_angle(a, -a)]), torch.tensor([0.0, 4.0]), atol=1e-6
    )


def test_a_view_without_draws_is_the_image():
    images = torch.rand(4, 2, 6, 5)
    assert torch.allclose(moved(images, torch.zeros(4, 4)), images, atol=1e-6)


def test_a_shift_of_one_pixel_is_one():
    images = torch.rand(1, 1, 8, 8)
    right = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    assert torch.allclose(moved(images, right, shift=2 / 8)[..., :-1], images[..., 1:], atol=1e-5)
