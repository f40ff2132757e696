"""Objectives of several terms: each player has a loss of its own, and a loss may hold values fixed."""

from collections import Counter

import pytest
from torch import nn

from antiphon.errors import ExperimentError, GrammarError
from antiphon.grammars import (
    Exact,
    Grammar,
    Port,
    ResponseGraph,
    chain_rule,
    exact,
    maximise,
    minimise,
    promised,
)
from antiphon.grammars.random_grammars import TanhLayer, mean_gap
from antiphon.grammars.response import Product
from antiphon.grammars.unsent import Reason, unsent
from rigs.own_losses import by_edits, soft_actor_critic, truncated, unrolled


def products(response: ResponseGraph) -> Counter[str]:
    return Counter(node.of for node in response.nodes if isinstance(node, Product))


def test_backpropagation_through_all_steps_is_the_chain_rule():
    q, states, losses = unrolled(4)
    assert chain_rule(q, truncated(states, losses, 4, 4)) == chain_rule(q, minimise(*losses))


def test_windows_that_do_not_overlap_are_cuts():
    q, states, losses = unrolled(6)
    ends = {states[2].port, states[4].port}

    def between(upstream):
        return None if upstream.source.owner == "Cell" and upstream.value in ends else upstream.message

    assert chain_rule(q, truncated(states, losses, 2, 2)) == chain_rule(q, minimise(*losses), edit=between)


@pytest.mark.parametrize(("back", "every"), [(2, 1), (3, 2), (4, 2), (6, 3)])
def test_a_step_has_a_product_for_each_window_whose_way_differs(back, every):
    q, states, losses = unrolled(6)
    found = products(chain_rule(q, truncated(states, losses, back, every)))
    windows = [range(max(end - back, 0), end) for end in range(every, 7, every)]
    for step in range(6):
        expected = {window.start for window in windows if step in window}  # equal starts: the messages are added
        assert found["Cell" if step == 0 else f"Cell#{step + 1}"] == len(expected)


def test_soft_actor_critic_by_losses_and_by_edits_is_one_response_graph():
    by_losses, edited = soft_actor_critic(), soft_actor_critic(by_edits)
    assert by_losses == edited
    assert {(each.about, each.reason) for each in unsent(edited.query, edited.response, edited.objective)} == {
        (Port("target"), Reason.CUT),
        (Port("One", -1), Reason.FROZEN),
        (Port("Two", -1), Reason.FROZEN),
    }
    assert "frozen: One#2 * -> parameters, to One" in repr(edited)


def test_a_loss_that_one_minimises_and_another_maximises(begun):
    q, x, y = begun
    forger, curator = q.player("Forger", TanhLayer, 3, 3), q.player("Curator", nn.Linear, 3, 2, dtype=x.type.dtype)
    loss = q.loss("Loss", mean_gap)(curator(forger(x)), y)
    objective = minimise(loss, players=["Curator"]) + maximise(loss, players=["Forger"])
    assert repr(objective) == "minimise Loss, for Curator; maximise Loss, for Forger"
    assert objective.of("Forger").losses == objective.of("Curator").losses == objective.losses
    response = chain_rule(q, objective)
    assert products(response) == {"Loss": 2, "Curator": 2, "Forger": 1}
    Grammar("game", q.graph(), response, objective, exact())


def test_the_signature_tells_what_is_held():
    q, states, losses = unrolled(2)
    response = chain_rule(q, minimise(*losses))
    plain, held = (
        Grammar("g", q.graph(), response, objective)
        for objective in (minimise(*losses), minimise(*losses, held=[states[1]]))
    )
    assert plain.signature != held.signature
    assert held.held == {states[1].port}


def test_strangers_in_an_objective_are_refused_where_it_is_used(refusal):
    q, states, losses = unrolled(2)
    _, other_states, _ = unrolled(5)
    graph, response = q.graph(), chain_rule(q, minimise(*losses))

    def refused(objective) -> str:
        text = refusal(GrammarError, lambda: chain_rule(q, objective))
        grammar = refusal(GrammarError, lambda: Grammar("g", graph, response, objective))
        assert grammar == text.replace("this chain rule", "grammar 'g'")
        own = promised(Exact((), objective))
        refusal(GrammarError, lambda: Grammar("g", graph, response, minimise(*losses), own))
        return text

    assert "'Nobody'" in (text := refused(minimise(*losses, players=["Nobody"]))) and "['Cell', 'Readout']" in text
    assert "Cell#4" in (text := refused(minimise(*losses, held=[other_states[4]]))) and "'Cell#2'" in text
    assert "Cell#2" in refused(minimise(losses[0], held=[states[2]]))  # nothing of that loss passes there
    with pytest.raises(ExperimentError):
        minimise(losses[0], held=states[1])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ExperimentError):
        minimise(losses[0], players="Cell")
