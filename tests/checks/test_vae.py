"""Grammar 2 under the check: what it promises is kept, and one broken message is noticed."""

from dataclasses import replace

import pytest

from antiphon.checks.check import check_suite
from antiphon.checks.mutants import flipped, messages, silenced, tapped, through, wrong_gate
from antiphon.checks.suites.vae import SUITE, dense, principal, printed_divergence
from antiphon.grammars import Factory, Grammar, Port, chain_rule, cut_into
from antiphon.grammars.response import PARAMETERS

EVERYTHING = {Port("d L1"), Port("d L2"), Port("L1 *", 1), Port("L1 *", 2), Port("L2 *", 1), Port("Decoder *")}


def test_the_messages_of_the_bound_are_all_there():
    assert set(messages(dense(0))) > EVERYTHING


@pytest.mark.parametrize(
    ("mutant", "players", "operator"),
    [
        (lambda g: flipped(g, Port("L1 *", 1)), {"Encoder"}, "mutated L1 *.1"),
        (lambda g: silenced(g, Port("L1 *", 1)), {"Encoder"}, "mutated L1 *.1"),
        (lambda g: silenced(g, Port("prior *")), {"Encoder"}, "mutated prior *"),
        (lambda g: flipped(g, Port("Decoder *")), {"Encoder"}, "mutated Decoder *"),
        (lambda g: tapped(g, Port("Decoder *"), Port("Encoder")), {"Encoder"}, "mutated Decoder *"),
        (lambda g: through(g, Port("L2 *", 1), wrong_gate), {"Encoder", "Decoder"}, "mutated L2 *.1"),
        (lambda g: tapped(g, Port("L2 *", 1), Port("Decoder")), {"Encoder", "Decoder"}, "mutated L2 *.1"),
        (lambda g: flipped(g, Port("Decoder *", PARAMETERS)), {"Decoder"}, "mutated Decoder *.-1"),
    ],
    ids=[
        "the determinant's sign", "the determinant cut", "the prior cut", "the message into Encoder flipped",
        "z told in the place of a product", "a gate in Decoder's way", "logits told in the place of a product",
        "the response to Decoder flipped",
    ],
)  # fmt: skip
def test_a_broken_response_graph_is_named(mutant, players, operator, broken):
    found = broken(mutant(dense(0)))
    assert {each.player for each in found} == players
    assert operator in {each.operator for each in found}
    assert all(repr(each.operator) in each.text for each in found)


def test_an_insulated_encoder_is_no_variational_autoencoder(broken):
    grammar = dense(0)
    cut = replace(grammar, response=chain_rule(grammar.query, grammar.objective, edit=_only_the_divergence))
    assert {each.player for each in broken(cut)} == {"Encoder"}


def _only_the_divergence(upstream):
    return cut_into("Encoder")(upstream) if upstream.source.name == "Decoder" else upstream.message


@pytest.mark.slow
def test_with_the_printed_divergence_the_players_do_not_reach_probabilistic_pca():
    rows = check_suite(
        replace(SUITE, cases=(replace(SUITE.cases[-1], make=printed_principal, instances=1),), studies=())
    )
    assert {row.guarantee for row in rows if row.failed} == {"learned"}  # they come to rest, and somewhere else


def printed_principal(seed: int) -> Grammar:
    return _printed(principal(seed))


def _printed(grammar: Grammar) -> Grammar:
    """The same with L1 as the essay prints it."""
    nodes = tuple(
        replace(node, operator=Factory(printed_divergence)) if node.name == "L1" else node
        for node in grammar.query.nodes
    )
    query = replace(grammar.query, nodes=nodes)
    return replace(grammar, query=query, response=chain_rule(query, grammar.objective))
