"""When: the algebra of conditions agrees with sets of rounds."""

from hypothesis import given, strategies as st

from antiphon.grammars.cadence import Cadence
from antiphon.grammars.when import ALWAYS, When

CADENCES = st.builds(Cadence, st.integers(1, 4), st.integers(0, 3))
WHENS = st.recursive(
    CADENCES.map(When.at),
    lambda whens: st.tuples(whens, whens, st.booleans()).map(lambda x: x[0] & x[1] if x[2] else x[0] | x[1]),
    max_leaves=6,
)


def rounds(when: When) -> set[int]:
    return {round for round in range(40) if when.active(round)}


@given(WHENS, WHENS)
def test_and_is_intersection_and_or_is_union(one, two):
    assert rounds(one & two) == rounds(one) & rounds(two)
    assert rounds(one | two) == rounds(one) | rounds(two)


@given(WHENS)
def test_always_is_neutral_and_absorbing(when):
    assert when & ALWAYS == when
    assert when | ALWAYS == ALWAYS


@given(WHENS)
def test_nothing_is_said_twice(when):
    assert when & when == when
    assert not any(one < two for one in when.clauses for two in when.clauses)


def test_every_round_is_always():
    assert When.at(Cadence()) == ALWAYS
    assert rounds(ALWAYS) == set(range(40))


def test_a_condition_reads_as_a_sentence():
    condition = (When.at(Cadence(2)) | When.at(Cadence(1, 5))) & When.at(Cadence(3, 1))
    assert repr(condition) == "every 2 rounds or every round from 5 and every 3 rounds from 1"
    assert repr(ALWAYS) == "always"
