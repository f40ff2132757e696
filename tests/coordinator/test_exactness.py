"""The law of the whole: what an executor delivers is the gradient of the composed objective; R is what runs."""

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings, strategies as st
from torch import Tensor

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.grammars.chain_rule import chain_rule, cut_into, negate_into
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.maps import scale
from antiphon.grammars.objective import minimise
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import (
    TanhLayer,
    draw_grammar,
    mean_gap,
    mean_softplus,
    sample_grammar,
    samples,
)
from antiphon.grammars.reference import reference_gradients
from antiphon.grammars.response import Deliver, Map, ResponseGraph, Seed, Tap
from antiphon.grammars.seeds import stream


def play(grammar: Grammar, placement: Placement | None = None, seed: int = 0, rounds: int = 1):
    """What was delivered in the last round, and what the reference says of it."""
    with InlineExecutor(assign(grammar, RECORDER, placement=placement, seed=seed)) as executor:
        states = executor.states()
        executor.play(rounds)
        return delivered(executor), reference_gradients(grammar, states, seed, rounds - 1)


def assert_equal(found: dict[str, list[Tensor]], expected: dict[str, list[Tensor]], tolerance: float = 1e-10) -> None:
    assert found.keys() == expected.keys()
    for player, gradients in expected.items():
        for one, two in zip(found[player], gradients, strict=True):
            assert (one - two).abs().max() <= tolerance * two.abs().max(), player


@settings(max_examples=100)
@given(st.data())
def test_every_delivered_gradient_is_exact(data):
    grammar = draw_grammar(lambda n: data.draw(st.integers(0, n - 1)))
    together, expected = play(grammar, rounds=2)
    apart, _ = play(grammar, spread(grammar), rounds=2)
    assert_equal(together, expected)
    assert_equal(apart, together, tolerance=0)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
@example(0)
def test_and_where_agents_live_elsewhere(seed):
    grammar = sample_grammar(seed)
    agents = {player.name: "far" for player in grammar.query.players}
    together, expected = play(grammar, seed=seed)
    apart, _ = play(grammar, spread(grammar, agents=agents), seed=seed)
    assert_equal(together, expected)
    assert_equal(apart, together, tolerance=0)


def chain(edit=(), answers=None) -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    a = q.player("A", TanhLayer, 3, 3)(x)
    b = q.player("B", TanhLayer, 3, 3)(a)
    objective = minimise(
        q.loss("Loss", mean_gap)(q.player("C", TanhLayer, 3, 3)(b), y), q.loss("Side", mean_softplus)(a)
    )
    told = None if answers is None else {a: answers(b)}
    return Grammar("chain", q.graph(), chain_rule(q, objective, edit=edit, answers=told), objective)


@pytest.fixture(scope="module")
def plain() -> dict[str, list[Tensor]]:
    return play(chain())[0]


def test_the_unedited_chain_is_exact():
    assert_equal(*play(chain()))


def test_flipping_a_seed_flips_everything_below_it(plain):
    grammar = chain()
    nodes = tuple(
        replace(node, weight=-1.0) if isinstance(node, Seed) and node.loss == Port("Loss") else node
        for node in grammar.response.nodes
    )
    found, _ = play(replace(grammar, response=ResponseGraph(nodes)))
    for player in ("B", "C"):
        assert_equal({player: found[player]}, {player: [-each for each in plain[player]]})
    assert not found["A"][0].equal(plain["A"][0])
    assert not found["A"][0].equal(-plain["A"][0])


def test_a_minus_sign_into_one_player_changes_those_behind_it(plain):
    found, _ = play(chain(negate_into("B")))
    assert_equal({"B": found["B"]}, {"B": [-each for each in plain["B"]]})
    assert_equal({"C": found["C"]}, {"C": plain["C"]}, tolerance=0)
    assert not found["A"][0].equal(plain["A"][0])


def test_a_cut_edge_carries_nothing(plain):
    found, _ = play(chain(lambda upstream: None if upstream.source.name == "B" else upstream.message))
    assert_equal({name: found[name] for name in "BC"}, {name: plain[name] for name in "BC"}, tolerance=0)
    alone, expected = play(only_side())
    assert_equal(found, {"A": alone["A"], "B": plain["B"], "C": plain["C"]}, tolerance=0)
    assert_equal({"A": alone["A"]}, {"A": expected["A"]})


def only_side() -> Grammar:
    """The chain without its long way to the loss, as far as A is concerned."""
    q = QueryDraft()
    x, _ = q.oracle("Nature", samples(4, (3,), (3,)))()
    objective = minimise(q.loss("Side", mean_softplus)(q.player("A", TanhLayer, 3, 3)(x)))
    return Grammar("side", q.graph(), chain_rule(q, objective), objective)


def test_a_tap_in_a_products_place_is_delivered_as_it_is(plain):
    found, _ = play(chain(cut_into("A"), lambda b: lambda r: r.map(scale, r.tap(b), factor=0.5)))
    assert_equal({name: found[name] for name in "BC"}, {name: plain[name] for name in "BC"}, tolerance=0)
    assert_equal({"A": found["A"]}, {"A": told_by_hand()})
    assert not found["A"][0].equal(plain["A"][0])


def told_by_hand() -> list[Tensor]:
    """A's product of half of what B played."""
    grammar = chain()
    with InlineExecutor(assign(grammar, RECORDER)) as executor:
        states = executor.states()
    a, b = (player.factory() for player in grammar.query.players[:2])
    a.load_state_dict(states["A"]["parameters"])
    b.load_state_dict(states["B"]["parameters"])
    (nature,) = grammar.query.oracles
    x, _ = nature.declaration.make(stream(0, "oracle", "Nature")).answer("sample", (), 0)
    played = a(x)
    return list(torch.autograd.grad(played, list(a.parameters()), b(played).detach() / 2))


def test_a_map_that_is_written_into_r_is_what_runs(plain):
    grammar = chain()
    *rest, last = grammar.response.nodes
    assert isinstance(last, Deliver)
    doubled = Map("twice", Factory.of(scale, factor=2.0), (last.message,))
    response = ResponseGraph((*rest, doubled, replace(last, message=Port("twice"))))
    found, _ = play(replace(grammar, response=response), spread(grammar))
    assert_equal({last.player: found[last.player]}, {last.player: [2 * each for each in plain[last.player]]})
    assert not any(isinstance(node, Tap) for node in response.nodes)
