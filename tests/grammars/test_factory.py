"""Factory: a call as a value, equal when its description is, refused when it carries something alive."""

import copy
import functools
import operator
import pickle
import threading
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pytest
import torch
from torch import nn

from antiphon.errors import GrammarError
from antiphon.grammars.factory import Factory, describe


@dataclass(frozen=True)
class Options:
    rate: float
    names: tuple[str, ...] = ()


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x

    def twice(self, x):
        return self(self(x))


class Colour(Enum):
    RED = 1


def test_equal_calls_are_equal_and_hash_alike():
    one, two = Factory.of(nn.Linear, 2, 3, bias=False), Factory.of(nn.Linear, 2, 3, bias=False)
    assert one == two
    assert hash(one) == hash(two)
    assert repr(one) == "torch.nn.modules.linear:Linear(2, 3, bias=False)"


@pytest.mark.parametrize(
    "other",
    [
        Factory.of(nn.Linear, 2, 4, bias=False),
        Factory.of(nn.Linear, 2, 3, bias=True),
        Factory.of(nn.Linear, 2, 3),
        Factory.of(nn.Linear, 2.0, 3, bias=False),
        Factory.of(nn.Bilinear, 2, 3, bias=False),
    ],
)
def test_any_other_call_is_another_value(other):
    assert Factory.of(nn.Linear, 2, 3, bias=False) != other


def test_a_factory_of_a_factory_adds_arguments():
    assert Factory.of(Factory.of(nn.Linear, 2, bias=True), 3, bias=False) == Factory.of(nn.Linear, 2, 3, bias=False)


def test_calling_it_calls_the_target():
    assert Factory.of(nn.Linear, 2, 3, bias=False)().weight.shape == (3, 2)


def test_it_travels_to_other_processes():
    factory = Factory.of(nn.Linear, 2, 3, dtype=torch.float64)
    assert pickle.loads(pickle.dumps(factory)) == factory


@pytest.mark.parametrize(
    "one, other",
    [
        (torch.zeros(2), torch.ones(2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (np.zeros(2), np.ones(2)),
        (Options(0.1), Options(0.2)),
        ({"a": 1}, {"a": 2}),
        (Colour.RED, 1),
        ("1", 1),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (lambda x: x + 1, lambda x: x + 2),
        (Scaled(1), Scaled(2)),
        (Scaled(1).twice, Scaled(2).twice),
        (operator.itemgetter(0), operator.itemgetter(1)),
        (", ".join, "; ".join),
        (torch.vmap(nn.functional.relu, in_dims=0), torch.vmap(nn.functional.relu, in_dims=1)),
        (torch.ones(2, dtype=torch.complex64) * 1j, (torch.ones(2, dtype=torch.complex64) * 1j).conj()),
    ],
)
def test_different_values_are_described_differently(one, other):
    assert describe(one) != describe(other)


@pytest.mark.parametrize(
    "value",
    [Scaled(1), Scaled(1).twice, torch.compile(nn.functional.relu), torch.ops.aten.relu, np.add, nn.functional.relu],
    ids=str,
)
def test_what_can_be_called_is_described_alike_when_it_is_made_alike(value):
    assert describe(value) == describe(copy.deepcopy(value))


def test_an_object_that_cannot_be_made_again_is_refused(refusal):
    text = refusal(GrammarError, lambda: describe(Scaled(threading.Lock())))
    assert "lock" in text and "expected" in text.lower()


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(2, device="meta"),
        lambda: torch.eye(2).to_sparse(),
        lambda: torch.nested.nested_tensor([torch.ones(1)], layout=torch.jagged),
        lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    ],
)
@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_a_tensor_without_numbers_in_dense_memory_is_refused(make, refusal):
    tensor = make()
    text = refusal(GrammarError, lambda: Factory.of(nn.Identity, tensor))
    assert str(tensor.layout) in text and "dense memory" in text and "Convert it" in text


def test_the_order_of_keys_and_members_does_not_matter():
    assert describe({"a": 1, "b": 2}) == describe({"b": 2, "a": 1})
    assert describe({3, 1, 2}) == describe({2, 3, 1})


def test_functions_that_close_over_different_values_differ():
    def adds(n):
        return lambda x: x + n

    assert describe(adds(1)) == describe(adds(1)) != describe(adds(2))
    assert describe(adds(np)) == describe(adds(np)) != describe(adds(torch))  # as `import numpy as np` inside makes one


def test_a_live_object_is_refused(refusal):
    layer = nn.Linear(1, 1)
    assert refusal(GrammarError, lambda: Factory.of(nn.Sequential, layer)) == (
        "a grammar cannot carry Linear(in_features=1, out_features=1, bias=True): it is a live Linear object. "
        "Expected a class or function with its arguments; pass `SomeClass, argument, keyword=...` instead of an "
        "instance."
    )


def countdown():
    def down(n):
        return n and down(n - 1)

    return down


def mutual(limit):
    def even(n):
        return n == limit or odd(n - 1)

    def odd(n):
        return n != limit and even(n - 1)

    return even, odd


def looped(*items):
    found = list(items)
    found.append(found)
    return found


def table(key):
    found: dict = {key: 1}
    found["self"] = found
    return found


@dataclass
class Knot:
    name: str
    other: object = None


def knot(name):
    found = Knot(name)
    found.other = functools.partial(max, [found])
    return found


@pytest.mark.parametrize(
    "make",
    [countdown, lambda: mutual(0)[0], lambda: mutual(0)[1], lambda: looped(1), lambda: table("a"), lambda: knot("a")],
)
def test_what_refers_to_itself_is_described_and_equal_where_it_is_made_alike(make):
    assert describe(make()) == describe(make())
    factory = Factory.of(nn.Identity, make())
    assert factory == Factory.of(nn.Identity, make()) and hash(factory) == hash(Factory.of(nn.Identity, make()))
    assert "Identity" in repr(factory)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (mutual(0)[0], mutual(1)[0]),
        (mutual(0)[0], mutual(0)[1]),
        (looped(1), looped(2)),
        (looped(looped(1)), looped(1)),
        (table("a"), table("b")),
        (knot("a"), knot("b")),
        (lambda *, k=1: k, lambda *, k=2: k),
        (np.array([looped(1)], dtype=object), np.array([looped(2)], dtype=object)),
    ],
)
def test_different_loops_are_described_differently(one, other):
    assert describe(one) != describe(other)


def test_what_is_nested_without_end_is_refused_by_name(refusal):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    text = refusal(GrammarError, lambda: Factory.of(nn.Identity, deep))
    assert "list" in text and "expected" in text and "Pass a function" in text


def test_a_function_that_is_not_bound_yet_is_described():
    def outer():
        seen = describe(lambda: later)
        later = 1
        return seen, later

    assert outer()[0] == outer()[0]


def with_constants(*constants):
    function = eval("lambda: 0")
    function.__code__ = function.__code__.replace(co_consts=constants)
    return function


def test_sets_in_code_are_described_alike_whatever_their_order_in_this_process():
    one, other = frozenset([0, 8]), frozenset([8, 0])
    assert one == other and repr(one) != repr(other)
    assert describe(with_constants(one)) == describe(with_constants(other)) != describe(with_constants(frozenset([1])))
