"""Cadence: an arithmetic progression of rounds."""

from hypothesis import given, strategies as st

from antiphon.grammars.cadence import Cadence


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 60))
def test_active_is_membership_in_the_progression(every, start, round):
    assert Cadence(every, start).active(round) == (round in range(start, 100, every))
