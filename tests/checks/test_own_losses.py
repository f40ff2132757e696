"""Losses of a player's own are measured: truncated BPTT and soft actor-critic are exact, and their mutants are not."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from antiphon.checks.check import check_grammar
from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.mutants import single_faults
from antiphon.checks.suite import Learning
from antiphon.grammars import Exact, Grammar, chain_rule, cut_at, exact, freeze_at, minimise, promised
from rigs.own_losses import by_edits, soft_actor_critic, truncated, unrolled


def recurrent(back: int, every: int, steps: int = 4) -> Grammar:
    q, states, losses = unrolled(steps)
    objective = truncated(states, losses, back, every)
    return Grammar("recurrent", q.graph(), chain_rule(q, objective), objective, exact())


@pytest.mark.parametrize(("back", "every"), [(4, 4), (2, 2), (3, 2), (2, 1)])
def test_truncated_backpropagation_is_exact_for_the_loss_with_its_states_held(back, every):
    report = check_grammar(recurrent(back, every), instances=2)
    assert [row.verdict for row in report.rows] == ["kept"]


@pytest.mark.parametrize(("back", "every"), [(3, 2), (2, 1)])
def test_the_reference_is_that_of_torch_with_detach(back, every):
    seen = Instance(recurrent(back, every), 0, Learning())
    ((_, (round, *_)), *_) = seen.places
    cell, readout = (round.composed.modules[name] for name in ("Cell", "Readout"))
    first, *data = (
        round.composed.values[port].detach() for port in round.composed.values if port.node.startswith("Nature")
    )
    total = torch.zeros((), dtype=torch.float64)
    for end in range(every, 5, every):
        state = first
        for step in range(end):
            state = cell(state.detach() if step == max(end - back, 0) else state, data[step])
            if step >= end - every:
                total = total + (readout(state) - data[4 + step]).square().sum(1).mean()
    for player, module in (("Cell", cell), ("Readout", readout)):
        expected = torch.autograd.grad(total, list(module.parameters()), retain_graph=True)
        for one, two in zip(round.composed.gradient(player), expected, strict=True):
            assert torch.allclose(one, two, rtol=1e-12, atol=1e-14)


def test_a_held_value_that_is_not_held_is_found(broken):
    q, states, losses = unrolled(4)
    right = recurrent(2, 2)
    (failure, *_) = broken(replace(right, response=chain_rule(q, minimise(*losses))))
    assert (failure.player, failure.operator) == ("Cell", "Cell#2 *")
    plain = minimise(*losses)
    forgotten = replace(right, objective=plain)
    assert {each.player for each in broken(forgotten)} == {"Cell"}
    overlapping = replace(recurrent(3, 2), response=chain_rule(q, plain, edit=cut_at(states[2])))
    assert {each.player for each in broken(overlapping)} == {"Cell"}


@pytest.mark.parametrize("respond", [None, by_edits])
def test_a_soft_actor_critic_is_exact_for_the_loss_of_each_player(respond):
    report = check_grammar(soft_actor_critic(respond), instances=2)
    assert [row.verdict for row in report.rows] == ["kept"]


def without_freeze(q, objective, wanted, worths):
    return chain_rule(q, objective.common, edit=cut_at(wanted), delivery=freeze_at(worths[0]))


def without_cut(q, objective, wanted, worths):
    return chain_rule(q, objective.common, delivery=[freeze_at(each) for each in worths])


def of_one_loss(q, objective, wanted, worths):
    return chain_rule(q, objective.common)


@pytest.mark.parametrize(
    ("respond", "players"),
    [(without_freeze, {"Two"}), (without_cut, {"Actor"}), (of_one_loss, {"One", "Two", "Actor"})],
)
def test_an_edit_that_was_removed_is_found(respond, players, broken):
    assert {each.player for each in broken(soft_actor_critic(respond))} == players


@pytest.mark.parametrize("grammar", [recurrent(3, 2), soft_actor_critic()], ids=["recurrent", "actor-critic"])
def test_every_single_fault_is_caught(grammar):
    (promise,) = grammar.guarantee.promises
    for message, mutant in islice(single_faults(grammar), 0, None, 3):  # a third: signs and silences by turns
        found = measure(promise, Instance(mutant, 3, Learning(2)))
        assert not all(each.kept for each in found), message


def test_a_promise_may_name_an_objective():
    q, states, losses = unrolled(3)
    objective = minimise(*losses)
    response = chain_rule(q, objective, edit=cut_at(states[1]))
    own = Exact(("Cell",), minimise(*losses, held=[states[1]]))
    grammar = Grammar("cut", q.graph(), response, objective, promised(own, Exact(("Readout",))))
    assert {row.verdict for row in check_grammar(grammar, instances=1).rows} == {"kept"}
    assert grammar.loss_of("Cell") == own.loss and grammar.loss_of("Readout") == objective
