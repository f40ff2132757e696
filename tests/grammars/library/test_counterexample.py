"""The smallest coherent network with an opposite sign, found by trying every smaller one."""

import pytest
import torch

from antiphon.checks.suites.kickback import modules_of
from antiphon.grammars.library.coherence import coherent, feedback
from antiphon.grammars.library.counterexample import Counterexample, smallest_counterexample

THEIRS = Counterexample((((1,),), ((2,), (-1,)), ((1, 10),)), ((0,), (0, 2)), 1, 1, 1, -8)


@pytest.fixture(scope="module", params=[True, False], ids=["biases", "no biases"])
def found(request) -> Counterexample:
    smallest = smallest_counterexample(biases=request.param)
    assert smallest is not None
    return smallest


def test_torch_confirms_it(found):
    confirm(found)


def test_and_the_one_of_the_notes():
    """Outgoing weights (2, -1), then (1, 10): kick 1, true factor -8. It is not the smallest."""
    confirm(THEIRS)


def confirm(claimed: Counterexample) -> None:
    here = feedback(modules_of(claimed), torch.ones(1, 1, dtype=torch.float64))
    of = here[claimed.layer - 1]
    assert coherent(here).all()
    assert bool(of.open[0, claimed.unit - 1])
    assert (float(of.kick[0, claimed.unit - 1]), float(of.factor[0, claimed.unit - 1])) == (
        claimed.kick,
        claimed.factor,
    )
    assert claimed.kick * claimed.factor < 0


def test_its_size():
    smallest = smallest_counterexample()
    assert smallest is not None
    assert (smallest.units, smallest.total, THEIRS.total) == (4, 10, 17)
    assert smallest.weights == (((1,),), ((2,), (-1,)), ((1, 3),))
    assert smallest.biases == ((0,), (0, 2))


def test_nothing_smaller_is_one():
    assert smallest_counterexample(units=3, total=14) is None
    assert smallest_counterexample(units=4, total=9) is None


def test_without_biases_it_takes_another_unit():
    smallest = smallest_counterexample(biases=False)
    assert smallest is not None
    assert (smallest.units, smallest.total, smallest.kick, smallest.factor) == (5, 11, 1, -1)
    assert not any(map(any, smallest.biases))
    assert smallest_counterexample(units=4, total=12, biases=False) is None
