"""Inference: the types of an operator's outputs, symbolic batch and all, and no trace of having looked."""

import functools
import logging
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import infer, make_module, make_operator, makes_parameters
from antiphon.grammars.types import Batch, EdgeType

VECTOR = EdgeType((Batch(), 4))
TIME = EdgeType((Batch("time"), 4))
IMAGE = EdgeType((Batch(), 1, 9, 8))


class Reads(nn.Linear):
    """Looks at a value."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if input.sum().item() < 1 else input


class Numpy(nn.Linear):
    """Leaves torch on its way."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(torch.from_numpy(np.tanh(input.detach().numpy())))


class Reseeds(nn.Linear):
    """Bad manners."""

    def __init__(self, inputs: int, outputs: int) -> None:
        torch.manual_seed(0)
        super().__init__(inputs, outputs)


class Writes(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.view(-1, 4).add_(1))


def halves(value: Tensor) -> Tensor:
    return value[::2]


def nothing(value: Tensor) -> dict[str, Tensor]:
    return {"value": value}


def played(target, *inputs: EdgeType, arguments=(), **keywords):
    return infer("operator 'op'", make_operator, Factory.of(target, *arguments, **keywords), inputs).outputs


@pytest.mark.parametrize(
    "target, arguments, shape",
    [
        (nn.Conv2d, (1, 5, 3), (Batch(), 5, 7, 6)),
        (nn.MaxPool2d, (2,), (Batch(), 1, 4, 4)),
        (nn.Flatten, (), (Batch(), 72)),
        (nn.BatchNorm2d, (1,), (Batch(), 1, 9, 8)),
        (torch.flatten, (), (Batch(factor=72),)),
        (torch.permute, ((1, 0, 3, 2),), (1, Batch(), 8, 9)),
        (torch.mean, (), ()),
    ],
)
def test_the_batch_stays_symbolic(target, arguments, shape):
    assert played(target, IMAGE, arguments=arguments) == (EdgeType(shape),)


def test_concatenation_multiplies_the_batch_or_the_width():
    assert played(np_cat, VECTOR, VECTOR, dim=0) == (EdgeType((Batch(factor=2), 4)),)
    assert played(np_cat, VECTOR, VECTOR, dim=1) == (EdgeType((Batch(), 8)),)


def np_cat(*values: Tensor, dim: int) -> Tensor:
    return torch.cat(values, dim)


def test_two_symbols_are_kept_apart():
    assert played(outer, VECTOR, TIME) == (EdgeType((Batch(), Batch("time"))),)


def outer(one: Tensor, two: Tensor) -> Tensor:
    return one @ two.T


def test_two_symbols_do_not_add(refusal):
    text = refusal(ShapeError, lambda: played(torch.add, VECTOR, EdgeType((Batch("time"), 4))))
    assert text.startswith("operator 'op' cannot play torch:add() on float32[batch, 4], float32[time")


@pytest.mark.parametrize("target", [Reads, Numpy, Reseeds])
def test_a_module_is_tried_on_values(target):
    found = infer("player 'A'", make_module, Factory.of(target, 4, 2 if target is not Reads else 4), [VECTOR])
    assert found.outputs[0].shape[0] == Batch()
    assert [(each.name, each.dtype) for each in found.parameters] == [
        ("weight", torch.float32),
        ("bias", torch.float32),
    ]


def test_integer_outputs_are_typed():
    assert played(torch.argmax, VECTOR, dim=1) == (EdgeType((Batch(),), torch.int64),)


def test_frozen_parameters_are_nobodys():
    found = infer("player 'A'", make_module, Factory.of(half_frozen), [VECTOR])
    assert [(each.name, each.shape) for each in found.parameters] == [("weight", (2, 4))]


def half_frozen() -> nn.Module:
    layer = nn.Linear(4, 2)
    layer.bias.requires_grad_(False)
    return layer


@pytest.mark.parametrize("target", [nn.Linear, Reads, Numpy, Reseeds])
def test_no_random_stream_is_touched(target):
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    infer("player 'A'", make_module, Factory.of(target, 4, 4), [VECTOR])
    assert before[0].equal(torch.get_rng_state())
    assert before[1:] == (random.getstate(), repr(np.random.get_state()))


def test_nothing_is_logged_or_printed(caplog, capfd, recwarn):
    caplog.set_level(logging.DEBUG)
    infer("player 'A'", make_module, Factory.of(Reads, 4, 4), [VECTOR])
    with pytest.raises(ShapeError):
        played(nn.Flatten, VECTOR, arguments=(5,))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []


def test_what_depends_on_the_batch_otherwise_is_refused_where_nobody_declares_its_size(refusal):
    text = refusal(ShapeError, lambda: played(halves, VECTOR))
    assert text.startswith("operator 'op' plays a dimension of 4 where 'batch' is 8, and one of 8 where it is 16; ")


@pytest.mark.parametrize("batch", [1, 5, 8])
def test_what_depends_on_the_batch_otherwise_is_of_a_constant_size_where_it_is_declared(batch):
    found = infer("operator 'op'", make_operator, Factory.of(halves), [VECTOR], {"batch": batch})
    assert found.outputs == (EdgeType(((batch + 1) // 2, 4)),)


def test_two_symbols_of_one_size_are_kept_apart():
    found = infer("op", make_operator, Factory.of(outer), [VECTOR, TIME], {"batch": 8, "time": 8})
    assert found.outputs == (EdgeType((Batch(), Batch("time"))),)


def test_shapes_that_depend_on_values_are_refused(refusal):
    text = refusal(ShapeError, lambda: infer("op", make_operator, Factory.of(positive), [VECTOR], {"batch": 8}))
    assert text.startswith("op plays the shapes [(")


def positive(value: Tensor) -> Tensor:
    return value[value > 0]


def test_what_is_large_is_typed_without_its_memory():
    found = infer("player 'A'", make_module, Factory.of(nn.Linear, 4, 10**11), [VECTOR], {"batch": 10**6})
    assert found.outputs == (EdgeType((Batch(), 10**11)),)
    assert found.parameters[0].shape == (10**11, 4)
    assert makes_parameters(Factory.of(nn.Linear, 4, 10**11))


def test_what_a_module_keeps_for_later_is_of_real_numbers():
    played(masked, VECTOR)
    assert masked(torch.zeros(8, 4)).device.type == "cpu"


def masked(value: Tensor) -> Tensor:
    return value * mask(len(value))


@functools.cache
def mask(rows: int) -> Tensor:
    return torch.ones(rows, 1)


def test_what_is_no_tensor_is_refused(refusal):
    assert refusal(ShapeError, lambda: played(nothing, VECTOR)) == (
        f"operator 'op' plays dict from {__name__}:nothing(); expected a tensor or a tuple of tensors. "
        "Return tensors only."
    )


def quantized(x):
    return torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)


@pytest.mark.parametrize(("operator", "kind"), [(torch.Tensor.to_sparse, "sparse_coo"), (quantized, "quint8")])
@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_numbers_outside_of_dense_memory_are_refused_where_an_operator_is_declared(operator, kind, refusal):
    text = refusal(ShapeError, lambda: played(operator, VECTOR))
    assert "operator 'op'" in text and kind in text and "dense memory" in text and "to_dense" in text


def test_writing_into_a_view_of_an_input_is_refused(refusal):
    text = refusal(GrammarError, lambda: played(Writes, VECTOR, arguments=(4, 2)))
    assert text.startswith("operator 'op' changes an input in place in ")


def test_what_cannot_be_made_is_refused(refusal):
    def of(target, *arguments):
        return lambda: infer("player 'A'", make_module, Factory.of(target, *arguments), [VECTOR])

    assert refusal(GrammarError, of(nn.Linear, 4)) == (
        "player 'A' cannot be made: torch.nn.modules.linear:Linear(4) raised TypeError: Linear.__init__() missing 1 "
        "required positional argument: 'out_features'. "
        "Expected arguments that its class or function takes; correct them."
    )
    assert refusal(GrammarError, of(list)) == (
        "player 'A' cannot be made: builtins:list() raised TypeError: it made a list, not a torch.nn.Module. "
        "Expected arguments that its class or function takes; correct them."
    )
    assert refusal(GrammarError, of(nn.LazyLinear, 4)) == (
        "player 'A' cannot be made: torch.nn.modules.linear:LazyLinear(4) raised TypeError: its parameters are lazy, "
        "without a shape before its first input. Expected arguments that its class or function takes; correct them."
    )


def test_a_function_takes_its_arguments_after_the_values():
    assert make_operator(Factory.of(torch.sub, alpha=2))(torch.tensor(5), torch.tensor(1)) == 3
    assert make_operator(Factory.of(mse_loss)) is mse_loss
    assert isinstance(make_operator(Factory.of(nn.MaxPool2d, 2)), nn.MaxPool2d)


def test_only_a_class_makes_parameters():
    before = torch.random.get_rng_state()
    assert makes_parameters(Factory.of(nn.Linear, 4, 3))
    assert not makes_parameters(Factory.of(nn.Dropout, 0.5))
    assert not makes_parameters(Factory.of(torch.flatten, start_dim=1))
    assert torch.random.get_rng_state().equal(before)
