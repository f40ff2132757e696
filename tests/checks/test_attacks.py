"""Wrong grammars that look right at first: who is told what is wrong, and at which node of R it goes wrong."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import antiphon
from antiphon.checks.check import check_grammar
from antiphon.checks.report import UNMEASURED
from antiphon.errors import GrammarError
from antiphon.grammars import (
    EdgeType,
    Grammar,
    Guarantee,
    OracleDeclaration,
    Port,
    Promise,
    Question,
    ResponseGraph,
    Upstream,
)
from antiphon.grammars.maps import negate, over_batch, scale
from antiphon.grammars.oracle import Memoryless
from antiphon.grammars.response import PARAMETERS, Deliver, Product

Message = Any
"""What R tells, in a draft."""


def points(seed: int = 0) -> OracleDeclaration:
    draw = torch.Generator().manual_seed(seed)
    return antiphon.arrays(torch.rand(16, 6, generator=draw), torch.rand(16, 4, generator=draw), batch=4)


def two(
    tell: Callable[[Upstream], Message] | None = None,
    *promises: Promise,
    operation: Callable[[Tensor], Tensor] = torch.tanh,
) -> Grammar:
    """Eye, an operator and Hand. tell: what is told into Eye in the place of the chain rule's message."""
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", points())()
    q.oracle("Clock", clock())()
    seen = q.operator("bend", operation)(q.player("Eye", nn.Linear, 6, 4)(x))
    objective = antiphon.minimise(q.loss("Loss", nn.functional.mse_loss)(q.player("Hand", nn.Linear, 4, 4)(seen), y))

    def edit(upstream: Upstream) -> Message:
        return upstream.message if tell is None or upstream.target.owner != "Eye" else tell(upstream)

    r = antiphon.chain_rule(q, objective, edit=edit)
    return Grammar("two", q.graph(), r, objective, Guarantee(promises or (antiphon.Exact(),)))


def through(operation: Callable[..., Any], **keywords: Any) -> Callable[[Upstream], Message]:
    return lambda upstream: upstream.response.map(operation, upstream.message, name="wrong", **keywords)


def by_clock(upstream: Upstream) -> Message:
    factor = upstream.response.tap(Port("Clock.factor"))
    return upstream.response.map(over_time, upstream.message, factor, name="wrong")


class Clock(Memoryless):
    """One for 500 rounds, then a half."""

    def __init__(self, seed: int) -> None:
        """Nothing to keep."""

    def answer(self, question, inputs, round: int) -> tuple[Tensor]:
        return (torch.tensor(1.0 if round < 500 else 0.5),)


def clock() -> OracleDeclaration:
    return OracleDeclaration(antiphon.Factory.of(Clock), (Question("factor", (), (EdgeType((), torch.float32),)),))


def over_time(message: Tensor, factor: Tensor) -> Tensor:
    return message * factor


class Stale(nn.Module):
    """Tells the message of the round before; the first is right."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def forward(self, message: Tensor) -> Tensor:
        told, self.last = message if self.last is None else self.last, message.clone()
        return told


class Counts(nn.Module):
    """Right when it is called first."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, message: Tensor) -> Tensor:
        self.calls += 1
        return message if self.calls == 1 else -message


def only_double(message: Tensor) -> Tensor:
    return message if message.dtype == torch.float64 else -message


def rounded(message: Tensor) -> Tensor:
    """What half precision leaves of small messages: nothing."""
    return (message * 1e-7).half().float() * 1e7


def of_leaves(value: Tensor) -> Tensor:
    """Differentiates otherwise where it is asked alone, as R asks it."""
    return value.detach() * value if value.is_leaf else value * value


def square(value: Tensor) -> Tensor:
    return value.square().mean()


def told_at_rest(*promises: Promise) -> Grammar:
    """In rounds in which the objective rests, A is told a value."""
    q = antiphon.QueryDraft()
    player = q.player("A", nn.Linear, 6, 4)
    with q.query_pass("learn", every=2):
        objective = antiphon.minimise(q.loss("Loss", square)(player(q.oracle("First", points())()[0])))
    with q.query_pass("look", every=2, start=1):
        looked = player(q.oracle("Second", points(1))()[0])
    r = antiphon.chain_rule(q, objective, answers={looked: lambda draft: draft.map(over_batch, draft.tap(looked))})
    return Grammar("rest", q.graph(), r, objective, Guarantee(promises))


def minus_where_another_rests(*promises: Promise) -> Grammar:
    """A is told minus its gradient in every second round, in which B rests."""
    q = antiphon.QueryDraft()
    player = q.player("A", nn.Linear, 6, 4)
    often = q.loss("Often", square)(player(q.oracle("First", points())()[0]))
    with q.query_pass("second", every=2):
        x, y = q.oracle("Second", points(1))()
        rare = q.loss("Rare", nn.functional.mse_loss)(q.player("B", nn.Linear, 4, 4)(player(x)), y)

    def edit(upstream: Upstream) -> Message:
        if upstream.source.name != "Often":
            return upstream.message
        r = upstream.response
        minus = r.map(negate, upstream.message, name="wrong")
        return r.sum(minus, r.map(twice, upstream.message, r.tap(rare)))

    objective = antiphon.minimise(often, rare)
    r = antiphon.chain_rule(q, objective, edit=edit)
    return Grammar("cadence", q.graph(), r, objective, Guarantee(promises))


def twice(message: Tensor, loss: Tensor) -> Tensor:
    return 2 * message + 0 * loss


def forgotten_use(*promises: Promise) -> Grammar:
    """Both plays twice, and is told of its first use alone."""
    q = antiphon.QueryDraft()
    x, _ = q.oracle("Nature", points())()
    both = q.player("Both", nn.Linear, 6, 6)
    objective = antiphon.minimise(q.loss("Loss", square)(both(q.operator("tanh", torch.tanh)(both(x)))))
    nodes = []
    for node in antiphon.chain_rule(q, objective).nodes:
        if isinstance(node, Deliver):
            node = replace(node, message=Port("Both *", PARAMETERS))
        if isinstance(node, Product):
            node = replace(node, parameters=node.name == "Both *")
        nodes += [] if node.name == "sum for Both" else [node]
    return Grammar("shared", q.graph(), ResponseGraph(tuple(nodes)), objective, Guarantee(promises))


def far(modules, values) -> Tensor:
    return torch.tensor(-3.0) if float(values[Port("Loss")]) < 0.1 else torch.tensor(3.0)


EYE = {("Eye", "wrong")}
WRONG: Mapping[str, tuple[Callable[[], Grammar], set[tuple[str, str]]]] = {
    "a message of the round before": (lambda: two(through(Stale)), EYE),
    "of the round before, on average": (lambda: two(through(Stale), antiphon.Estimated(("Eye",), draws=20)), EYE),
    "wrong from its second call on": (lambda: two(through(Counts)), EYE),
    "wrong from a late round on": (lambda: two(by_clock), EYE),
    "wrong in the precision in which it is played": (lambda: two(through(only_double)), EYE),
    "nothing in half precision": (lambda: two(through(rounded), antiphon.Descent(("Eye",))), EYE),
    "a product that is another when asked alone": (lambda: two(operation=of_leaves), {("Eye", "bend *")}),
    "told where nothing is played": (lambda: told_at_rest(antiphon.Exact()), {("A", "deliver A")}),
    "told where nothing is played, on average": (
        lambda: told_at_rest(antiphon.Estimated(draws=5, bias=0.9)),
        {("A", "deliver A")},
    ),
    "minus where another rests, on average": (
        lambda: minus_where_another_rests(antiphon.Estimated(("A",), draws=10)),
        {("A", "wrong")},
    ),
    "a use that nobody tells of": (lambda: forgotten_use(antiphon.SignCorrect()), {("Both", "deliver Both")}),
    "a distance below none": (
        lambda: two(None, antiphon.Learned(("Hand",), antiphon.Factory.of(far))),
        {("Hand", "Hand")},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_grammar_fails_where_it_is_wrong(name: str):
    make, expected = WRONG[name]
    report = check_grammar(make(), instances=1)
    assert {(each.player, each.operator) for row in report.rows for each in row.failures} == expected


def of_both(one: Tensor, two: Tensor) -> Tensor:
    return square(one) + square(two)


def never_together() -> Grammar:
    """A's own loss takes values of two passes that no round plays both."""
    q = antiphon.QueryDraft()
    player, played, losses = q.player("A", nn.Linear, 6, 4), [], []
    for number in range(2):
        with q.query_pass(f"pass {number}", every=2, start=number):
            played.append(player(q.oracle(f"Nature{number}", points(number))()[0]))
            losses.append(q.loss(f"Loss{number}", square)(played[-1]))
    objective = antiphon.minimise(*losses)
    promise = antiphon.Exact(("A",), antiphon.PlayerLoss.of(of_both, *played))
    return Grammar("never", q.graph(), antiphon.chain_rule(q, objective), objective, Guarantee((promise,)))


def jittered(played: Tensor, meant: Tensor) -> Tensor:
    return nn.functional.mse_loss(played, meant) + 100 * torch.randn(())


def five(modules, values) -> Tensor:
    return torch.tensor(5.0)


def in_noise() -> Grammar:
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", points())()
    objective = antiphon.minimise(q.loss("Loss", jittered)(q.player("A", nn.Linear, 6, 4)(x), y))
    bound = antiphon.Surrogate(truth=antiphon.Factory.of(five), draws=20)
    return Grammar("noise", q.graph(), antiphon.chain_rule(q, objective), objective, Guarantee((bound,)))


def told_nothing(promise: Promise) -> Grammar:
    return two(through(scale, factor=0.0), promise)


UNKNOWABLE: Mapping[str, Callable[[], Grammar]] = {
    "a loss that is never played": never_together,
    "a bound in noise that is larger": in_noise,
    "any direction": lambda: told_nothing(antiphon.Descent(("Eye",), degrees=181)),
    "any bias": lambda: told_nothing(antiphon.Estimated(("Eye",), bias=1.0, draws=10)),
}


@pytest.mark.parametrize("name", UNKNOWABLE)
def test_what_a_useless_response_would_keep_is_not_measured(name: str):
    assert check_grammar(UNKNOWABLE[name](), instances=1).rows[0].verdict == UNMEASURED


@pytest.mark.parametrize("sources", [(), ("Natur",)])
def test_nobody_is_insulated_from_nobody(sources: tuple[str, ...]):
    with pytest.raises(GrammarError, match="expected sources among"):
        check_grammar(two(None, antiphon.Insulated(("Eye",), sources)), instances=1)


def test_insulation_says_nothing_of_what_a_player_is_told():
    report = check_grammar(two(None, antiphon.Insulated((), ("Nature",), taps=True)), instances=1)
    assert "nothing promised to Eye, Hand" in report.summary
