"""Cadence: an arithmetic progression of rounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import GrammarError
from antiphon.grammars.cadence import Cadence


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 60))
def test_active_is_membership_in_the_progression(every, start, round):
    assert Cadence(every, start).active(round) == (round in range(start, 100, every))


@pytest.mark.parametrize("every, start", [(0, 0), (-1, 0), (1, -1), (1.5, 0), ("2", 0), (True, 0), (1, None)])
def test_what_never_begins_or_never_advances_is_refused(every, start, refusal):
    assert refusal(GrammarError, lambda: Cadence(every, start)) == (
        f"a cadence plays every {every!r} rounds from round {start!r} on; "
        "expected whole numbers, every >= 1 and start >= 0. Correct the two numbers."
    )
