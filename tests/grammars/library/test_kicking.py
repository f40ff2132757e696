"""Layers for kickback: their kick is their product with ones, dense and convolutional agree, signs are kept."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import relu

from antiphon.grammars.library.coherence import kick_error
from antiphon.grammars.library.kicking import (
    ConvolutionLayer,
    OutputLayer,
    RectifierLayer,
    Weights,
    kicking_layers,
    unit_signs,
)


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> Any:  # Any: a layer of the kind that is made
    torch.manual_seed(seed)
    return make().double()


@pytest.mark.parametrize("weights", Weights)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_kick_is_the_product_of_its_layer_with_ones(weights, signed, seed):
    layer = seeded(lambda: RectifierLayer(5, 7, signed=signed, weights=weights), seed)
    assert kick_error(layer, torch.randn(9, 5, dtype=torch.float64)) <= 1e-12
    assert kick_error(seeded(lambda: OutputLayer(5, weights=weights)), torch.randn(9, 5, dtype=torch.float64)) <= 1e-12


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (4, 4), (6, 7)])
def test_of_a_convolution_it_is_the_transposed_convolution_of_its_open_gates(stride, size):
    layer = seeded(lambda: ConvolutionLayer(2, 3, stride, signed=True))
    images = torch.randn(5, 2, *size, dtype=torch.float64)
    played, kick = layer(images)
    assert played.shape == (5, 3, *(-(-each // stride) for each in size))
    assert kick.shape == images.shape
    assert kick_error(layer, images) <= 1e-12


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("weights", Weights)
def test_a_convolution_agrees_with_the_dense_layer_that_it_is(stride, weights):
    convolution = seeded(lambda: ConvolutionLayer(2, 3, stride, signed=True, weights=weights))
    images = torch.randn(6, 2, 4, 5, dtype=torch.float64)
    played, kick = convolution(images)
    dense = seeded(lambda: RectifierLayer(40, played[0].numel()))
    dense.linear.weight.data, dense.linear.bias.data = unrolled(convolution, images[0], played[0])
    dense.signs = convolution.signs.repeat_interleave(played[0, 0].numel())
    flat, flat_kick = dense(images)
    assert torch.allclose(flat, played.flatten(1), rtol=0, atol=1e-12)
    assert torch.allclose(flat_kick, kick, rtol=0, atol=1e-12)


def unrolled(convolution: ConvolutionLayer, image, played):
    """The matrix and the biases of a convolution as a linear map of the flattened image."""
    weight, bias = convolution.convolution.weight, convolution.convolution.bias
    assert bias is not None
    if convolution.weights is Weights.COHERENT:
        weight = convolution.signs[:, None, None, None] * weight.abs()
    ones = torch.eye(image.numel(), dtype=torch.float64).reshape(-1, *image.shape)
    columns = torch.nn.functional.conv2d(ones, weight, None, convolution.stride, padding=1).flatten(1)
    return columns.t().detach(), bias.repeat_interleave(played[0].numel()).detach()


def test_a_layer_reads_images_flattened_and_kicks_in_their_shape():
    layer = seeded(lambda: RectifierLayer(12, 4))
    images = torch.randn(3, 2, 2, 3, dtype=torch.float64)
    assert layer(images)[1].shape == images.shape
    assert torch.equal(layer(images)[0], layer(images.flatten(1))[0])


def test_the_gate_is_on_the_pre_activation():
    """Where it is exactly zero or below, the unit is closed; the essay's gate would be open everywhere."""
    layer = seeded(lambda: RectifierLayer(1, 3))
    layer.linear.weight.data[:, 0] = torch.tensor([1.0, 1.0, 1.0])
    layer.linear.bias.data[:] = torch.tensor([-1.0, -2.0, 1.0])
    played, kick = layer(torch.ones(1, 1, dtype=torch.float64))
    assert (played.tolist(), kick.tolist()) == ([[0.0, 0.0, 2.0]], [[1.0]])


def test_the_kick_is_a_value_that_nobody_differentiates():
    layer = seeded(lambda: RectifierLayer(3, 4))
    assert not layer(torch.randn(2, 3, dtype=torch.float64))[1].requires_grad


def test_signs_multiply_outputs():
    layer = seeded(lambda: RectifierLayer(3, 4, signed=True))
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(layer(x)[0], relu(layer.linear(x)) * torch.tensor([1.0, -1.0, 1.0, -1.0]))
    assert unit_signs(3, signed=False).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("signed", [False, True])
def test_started_weights_have_the_sign_of_their_unit_above_the_first_layer(signed):
    first, *others = (make() for make in kicking_layers((5,), [6, 4], signed=signed, weights=Weights.STARTED).values())
    assert first.linear.weight.min() < 0 < first.linear.weight.max()
    for layer in others:
        signs = getattr(layer, "signs", torch.ones(1))
        assert (layer.linear.weight * signs[:, None] >= 0).all()


def test_coherent_weights_keep_it_whatever_a_player_does():
    layer = seeded(lambda: RectifierLayer(3, 4, signed=True, weights=Weights.COHERENT))
    layer.linear.bias.data.fill_(10.0)
    x = torch.rand(5, 3, dtype=torch.float64)
    layer.linear.weight.data.normal_()
    played = layer(x)[0]
    more = layer(x + 0.1)[0]
    assert (layer(x)[1] >= 0).all()
    assert (more >= played).all()  # increasing, whatever the sign of the unit


def test_signals_neither_grow_nor_vanish_at_the_start():
    for signed in (False, True):
        layers = kicking_layers((64,), [64] * 6, signed=signed, weights=Weights.COHERENT)
        torch.manual_seed(0)
        signal = torch.randn(200, 64)
        for make in layers.values():
            signal, _ = make()(signal)
        assert 1e-3 < signal.abs().mean() < 30, signal.abs().mean()


def test_only_the_first_layer_is_free():
    layers = kicking_layers((1, 8, 8), [5], [4], weights=Weights.COHERENT)
    kept = {name: dict(factory.keywords)["weights"] for name, factory in layers.items()}
    assert kept == {
        "Convolution1": Weights.FREE, "Rectifier1": Weights.COHERENT, "Output": Weights.COHERENT,
    }  # fmt: skip
