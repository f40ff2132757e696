"""Whoever gives an argument of another type is told which, not shown a failure further inside."""

from typing import Any

import numpy as np
import pytest
import torch

import antiphon
from antiphon.errors import AntiphonError, ExperimentError
from antiphon.grammars.typed import typed
from rigs.games import with_dropout

GRAMMAR = with_dropout()
DIGITS = antiphon.digits(8)
WRONG = ["x", b"x", 2.5, object(), torch.zeros(2), torch.nn.Linear, np.zeros(1), lambda: None]
CALLS = {
    "assign": lambda wrong: antiphon.assign(wrong),
    "seed": lambda wrong: antiphon.assign(GRAMMAR, seed=wrong),
    "agents": lambda wrong: antiphon.assign(GRAMMAR, wrong),
    "spread": lambda wrong: antiphon.spread(wrong),
    "place": lambda wrong: antiphon.place(GRAMMAR, of=wrong),
    "chain_rule": lambda wrong: antiphon.chain_rule(GRAMMAR.query, wrong),
    "minimise": lambda wrong: antiphon.minimise(wrong),
    "cost": lambda wrong: antiphon.cost(wrong),
    "backprop": lambda wrong: antiphon.backprop(wrong, {}),
    "layers": lambda wrong: antiphon.backprop(DIGITS, wrong),
    "dense_layers": lambda wrong: antiphon.dense_layers((3,), (4,), wrong),
    "digits": lambda wrong: antiphon.digits(wrong),
    "draw": lambda wrong: antiphon.draw(wrong),
    "check_grammar": lambda wrong: antiphon.check_grammar(wrong),
    "refine": lambda wrong: antiphon.refine(wrong),
    "Grammar": lambda wrong: antiphon.Grammar("g", wrong, GRAMMAR.response, GRAMMAR.objective),
    "read_experiment": lambda wrong: antiphon.read_experiment(wrong),
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize("name", CALLS)
def test_another_type_is_refused_and_told(name, wrong):
    with pytest.raises(AntiphonError) as caught:
        CALLS[name](wrong)
    assert "expected" in str(caught.value) and not isinstance(caught.value.__cause__, AttributeError | TypeError)


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
