"""Whoever gives an argument of another type is told which, not shown a failure further inside."""

import contextlib
import inspect
import math
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import pytest
import torch

import antiphon
from antiphon.coordinator.plan.assignment import assign
from antiphon.errors import AntiphonError, ExperimentError
from antiphon.grammars import Cadence
from antiphon.grammars.library import convolutional_layers
from antiphon.grammars.regrouping import Regrouping
from antiphon.grammars.typed import typed
from antiphon.oracles import Annealing
from rigs.games import with_dropout

GRAMMAR = with_dropout()
DIGITS = antiphon.digits(8)
MADE_BY_US = ("Certificate", "Representation", "Memoryless")
"""Results, whose numbers may be NaN; and a class of which there are no instances."""
WRONG = [
    *(3, -1, 10**30, 10**5000, 2.5, math.nan, "x", b"x", None, True, [3], [None], {3: 4}, object(), lambda: None),
    *(torch.zeros(()), torch.zeros(2, 2), torch.nn.Linear, np.zeros(1)),
]
"""Each of them is wrong for most parameters."""
MESSAGES = {"standard_normal", "isotropic", "bernoulli", "fixed_matrix", "over_batch"}
"""Operators: of the shapes of their tensors tell the graphs in which they stand."""


def public() -> dict[str, Any]:  # Any: functions and classes
    found = {name: getattr(antiphon, name) for name in antiphon.__all__ if name not in MADE_BY_US}
    kinds = (BaseException, Enum)
    return {
        name: each
        for name, each in found.items()
        if inspect.isfunction(each) or (isinstance(each, type) and not issubclass(each, kinds) and each is not Callable)
    }


@pytest.mark.parametrize("name", public())
def test_no_public_function_or_class_fails_further_inside(name):
    target = public()[name]
    parameters = inspect.signature(target).parameters.values()
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in _STARRED]
    calls = [((), {}), ((), {"nobody": 1})]
    for wrong in WRONG:
        if name not in MESSAGES or not isinstance(wrong, torch.Tensor):
            given = dict.fromkeys(needed, wrong)
            calls += [((), given), ((wrong,) * 3, {})]
            calls += [((), given | {each.name: wrong}) for each in parameters if each.kind not in _STARRED]
    for positional, named in calls:
        with contextlib.suppress(AntiphonError):  # nothing else
            target(*positional, **named)


_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
GAME = antiphon.launch(antiphon.backprop(DIGITS, antiphon.dense_layers((64,), [], 10)))
CALLS: dict[str, Callable[[Any], object]] = {  # Any: what is wrong there
    "seed": lambda wrong: assign(GRAMMAR, seed=wrong),
    "agents": lambda wrong: assign(GRAMMAR, wrong),
    "threads": lambda wrong: antiphon.launch(GRAMMAR, threads=wrong),
    "num_cpus": lambda wrong: antiphon.launch(GRAMMAR, num_cpus=wrong),
    "deadline": lambda wrong: antiphon.launch(GRAMMAR, deadline=wrong),
    "fuse": lambda wrong: antiphon.spread(GRAMMAR, [wrong]),
    "of": lambda wrong: antiphon.place(GRAMMAR, of=wrong),
    "loss": lambda wrong: antiphon.chain_rule(GRAMMAR.query, wrong),
    "layers": lambda wrong: antiphon.backprop(DIGITS, wrong),
    "classes": lambda wrong: antiphon.dense_layers((3,), (4,), wrong),
    "query": lambda wrong: antiphon.Grammar("g", wrong, GRAMMAR.response, GRAMMAR.objective),
    "every": lambda wrong: Cadence(every=wrong),
    "rounds": lambda wrong: GAME.play(wrong),
    "states": lambda wrong: GAME.load(wrong, 0),
    "round": lambda wrong: GAME.load({}, wrong),
    "folder": lambda wrong: GAME.save(wrong),
    "declaration": lambda wrong: antiphon.QueryDraft().oracle("N", wrong),
    "further": lambda wrong: Regrouping.none(GRAMMAR).then(wrong),
}
NONE_OF_THEM = [-1, 10**30, 2.5j, math.nan, b"x", True, [None], object(), torch.zeros(2), torch.nn.Linear]


@pytest.mark.parametrize("wrong", NONE_OF_THEM, ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize("name", CALLS)
def test_another_type_is_refused_and_told(name, wrong):
    with pytest.raises(AntiphonError) as caught:
        CALLS[name](wrong)
    assert "expected" in str(caught.value) and not isinstance(caught.value.__cause__, AttributeError | TypeError)


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        (lambda: Cadence(0), ("Cadence", "0 (a int)", "'every'", "at least 1")),
        (lambda: Cadence(1, -1), ("Cadence", "-1", "'start'", "at least 0")),
        (lambda: Annealing(1.0, 0.0, 3), ("Annealing", "0.0", "'end'", "above 0")),
        (lambda: antiphon.gaussian((1,), batch=1, scale=math.inf), ("gaussian", "inf", "'scale'", "above 0")),
        (lambda: antiphon.Estimated(draws=1), ("Estimated", "1", "'draws'", "at least 2")),
        (lambda: antiphon.agent("SGD", clip_norm=0.0), ("agent", "0.0", "'clip_norm'", "above 0")),
        (lambda: antiphon.launch(GRAMMAR, deadline=1e12), ("launch", "deadline", "at most 2,000,000")),
        (lambda: antiphon.launch(GRAMMAR, executor="rya"), ("launch", "'rya'", "'inline', 'ray'")),  # pyright: ignore
        (lambda: antiphon.digits(8, split="dev"), ("digits", "'dev'", "'train', 'test'")),  # pyright: ignore
        (lambda: convolutional_layers((8, 8), [4], [], 10), ("(8, 8)", "'example'", "3 items")),
        (lambda: antiphon.EdgeType((3,), torch.quint8), ("EdgeType", "quint8", "'dtype'", "torch.float32")),
    ],
)
def test_numbers_out_of_range_and_words_that_are_none_are_refused_and_told(refused, told):
    with pytest.raises(ExperimentError) as caught:
        refused()
    assert all(each in str(caught.value) for each in (*told, "expected", "Correct"))


def test_a_call_that_does_not_fit_is_told_with_what_would():
    with pytest.raises(ExperimentError, match=r"spread cannot be called so: .*'groups'.*expected spread\(grammar"):
        antiphon.spread(GRAMMAR, groups=())  # pyright: ignore[reportCallIssue] - that is the test


@typed
def taken(count: int, share: float | None = None, *names: str, **more: bool) -> tuple[object, ...]:
    return count, share, names, more


def test_what_fits_goes_through_as_it_is():
    anything: Any = taken  # Any: what a type checker would refuse
    assert anything(np.int64(2), 1, "a", "b", c=True) == (2, 1, ("a", "b"), {"c": True})
    for wrong, named in (((1.0,), {}), ((1, "x"), {}), ((1, None, 2), {}), ((1,), {"c": "yes"})):
        with pytest.raises(ExperimentError, match="taken was given"):
            anything(*wrong, **named)
