"""`arglocopt` ends at a local optimum in the direction that is named, says how it knows, and counts what it asked."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from antiphon.agents.arglocopt import LBFGS, arglocmax, arglocmin, arglocopt
from antiphon.agents.specification import AgentSpecification
from antiphon.agents.torch_agent import TorchAgent
from antiphon.errors import AgentError, OracleError
from antiphon.grammars.certificate import Verdict
from antiphon.grammars.objective import Direction
from antiphon.grammars.semantics import agreement, semantics

ZERO = torch.zeros(3, dtype=torch.float64)
PEAK = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def valley(theta):
    return ((theta - PEAK).square() * torch.tensor([1.0, 2.0, 4.0])).sum() - 3


def hill(theta):
    return -valley(theta)


class Counted:
    """An objective that counts the points at which it is evaluated."""

    def __init__(self, objective):
        self.objective, self.asked = objective, 0

    def __call__(self, theta):
        self.asked += 1
        return self.objective(theta)


@pytest.fixture(params=["L-BFGS", "SGD", "Adam", "specification", "torch agent", "agent"])
def by(request, momentum):
    return {
        "L-BFGS": LBFGS,
        "SGD": partial(torch.optim.SGD, lr=0.1),
        "Adam": partial(torch.optim.Adam, lr=0.1),
        "specification": AgentSpecification.of("SGD", {"lr": 0.1, "momentum": 0.5}),
        "torch agent": partial(TorchAgent, optimizer="Adam", arguments={"lr": 0.1}),
        "agent": partial(momentum, rate=0.05),
    }[request.param]


def test_whoever_optimizes_it_ends_at_the_minimum_and_knows(by):
    counted = Counted(valley)
    found = arglocmin(counted, ZERO, by=by)
    assert (found.parameters - PEAK).norm() <= 1e-6
    assert found.value == pytest.approx(-3)
    assert found.certificate.verdict is Verdict.STRICT
    assert found.certificate.curvature == pytest.approx(2.0)
    assert found.gradients == counted.asked - 1  # the last is the certificate's
    assert 0 < found.moves < found.gradients


def test_a_maximum_is_the_minimum_of_the_negative_by_the_same_moves(by):
    low, high = arglocmin(valley, ZERO, by=by), arglocmax(hill, ZERO, by=by)
    assert torch.equal(low.parameters, high.parameters)
    assert (low.value, low.gradients, low.moves) == (-high.value, high.gradients, high.moves)
    assert low.certificate == high.certificate
    assert (low.direction, high.direction) == (Direction.MINIMISE, Direction.MAXIMISE)


def test_an_optimizer_that_asks_once_a_move_pays_one_query_a_move():
    found = arglocmin(valley, ZERO, by=partial(torch.optim.SGD, lr=0.1))
    assert found.gradients == found.moves + 1


def test_the_start_is_left_alone(by):
    start = ZERO.clone()
    arglocmin(valley, start, by=by)
    assert torch.equal(start, ZERO)


def test_a_local_optimum_depends_on_the_start():
    def double(theta):
        return (theta.square() - 1).square().sum()

    for start in (-0.3, 0.3):
        found = arglocmin(double, torch.tensor([start], dtype=torch.float64))
        assert float(found.parameters) == pytest.approx(1.0 if start > 0 else -1.0, abs=1e-6)
        assert found.certificate.verdict is Verdict.STRICT


def test_who_starts_on_a_ridge_stays_and_is_told_so():
    found = arglocmin(lambda theta: theta[0] ** 2 - theta[1] ** 2, ZERO)
    assert (found.certificate.verdict, found.gradients, found.moves) == (Verdict.SADDLE, 1, 0)


def test_a_budget_ends_it_and_the_certificate_says_that_it_moves_still():
    found = arglocmin(valley, ZERO, by=partial(torch.optim.SGD, lr=0.01), queries=5)
    assert (found.gradients, found.moves) == (5, 4)
    assert found.certificate.verdict is Verdict.MOVING


def test_a_move_that_changes_nothing_is_the_last():
    found = arglocmin(valley, ZERO, by=partial(torch.optim.SGD, lr=0.0))
    assert (found.gradients, found.moves, found.certificate.verdict) == (1, 1, Verdict.MOVING)


def test_parameters_by_name_and_the_function_that_they_make():
    """Representation 1: the predictor at a local minimum, its semantics beside the labels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, generator=generator, dtype=torch.float64)
    y = (x[:, 0] * x[:, 1] > 0).long()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    start = {name: value.detach() for name, value in net.named_parameters()}

    def predict(theta, points):
        return functional_call(net, theta, (points,))

    def risk(theta):
        penalty = sum(each.square().sum() for each in theta.values())
        return cross_entropy(predict(theta, x), y) + 1e-3 * penalty

    found = arglocmin(risk, start, function=predict)
    assert found.parameters.keys() == start.keys()
    assert found.certificate.verdict is Verdict.STRICT
    truth = semantics(lambda _: y, x)
    before, after = (agreement(semantics(f, x), truth) for f in (lambda x: predict(start, x), found))
    assert before < 0.3 < 0.8 < after


def test_more_parameters_than_are_certified_exactly():
    start = torch.zeros(400, dtype=torch.float64)
    found = arglocmax(lambda theta: -((theta - 1).square() * torch.linspace(1, 2, 400)).sum(), start)
    assert found.certificate.verdict is Verdict.STRICT
    assert not found.certificate.exact
    assert found.certificate.curvature == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (
            lambda theta: theta,
            "the objective of arglocopt played a tensor of shape (3,); expected a 0-d tensor that depends on the "
            "parameters by torch operations. Return the mean or the sum.",
        ),
        (
            lambda theta: 3.0,
            "the objective of arglocopt played a float; expected a 0-d tensor that depends on the parameters by torch "
            "operations. Return the mean or the sum.",
        ),
        (
            lambda theta: (theta - 1).sqrt().sum(),
            "the objective is nan with a gradient of norm nan at query 1; expected finite numbers. "
            "Start elsewhere, or let the optimizer take smaller steps.",
        ),
    ],
)
def test_what_is_no_objective_is_refused(objective, text):
    with pytest.raises(OracleError) as refused:
        arglocmin(objective, ZERO)
    assert str(refused.value) == text


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(AgentError) as refused:
        arglocopt(valley, ZERO, Direction.MINIMISE, by=lambda parameters: 3)  # pyright: ignore[reportArgumentType]
    assert str(refused.value) == (
        "arglocopt was to optimize by a int; expected a torch optimizer, or an agent with hear, move, state and load. "
        "Pass what makes one of the parameters, or an AgentSpecification."
    )


def test_a_representation_without_a_function_cannot_be_called():
    with pytest.raises(OracleError) as refused:
        arglocmin(valley, ZERO)(1.0)
    assert str(refused.value) == (
        "a representation was asked for its function, and none was named; expected arglocopt(..., function=f) with "
        "f(theta, *inputs). Name it there, or use the parameters."
    )
