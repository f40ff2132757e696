"""Random grammars: of every kind, the same for the same seed."""

from collections import Counter

from hypothesis import given, settings, strategies as st

from antiphon.grammars.query import Kind
from antiphon.grammars.random_grammars import draw_grammar, sample_grammar


def test_one_seed_makes_one_grammar():
    assert sample_grammar(5) == sample_grammar(5) != sample_grammar(6)


@settings(max_examples=25)
@given(st.data())
def test_any_choices_make_a_grammar(data):
    grammar = draw_grammar(lambda n: data.draw(st.integers(0, n - 1)))
    assert grammar.response.deliveries


def test_the_samples_hold_every_kind_of_graph():
    grammars = [sample_grammar(seed) for seed in range(40)]
    kinds = Counter(node.kind for grammar in grammars for node in grammar.query.nodes)
    assert set(kinds) == set(Kind)
    names = " ".join(node.owner for grammar in grammars for node in grammar.query.nodes)
    for name in (
        "TanhLayer",
        "Soft",
        "Fork",
        "Pair",
        "Norm",
        "Filter",
        "pool",
        "add",
        "join",
        "rectify",
        "Medium",
        "Clone",
    ):
        assert name in names
    uses = [Counter(node.owner for node in each.query.nodes if node.kind is Kind.PLAYER) for each in grammars]
    assert sum(max(each.values()) > 1 for each in uses) > 10
    assert sum(len(each.objective.losses) > 1 for each in grammars) > 10
    assert len({term.direction for each in grammars for term in each.objective.terms}) == 2
    assert sum(len(each.objective.terms) > 1 for each in grammars) > 10
