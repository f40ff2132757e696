"""Seeds: distinct streams, counted rounds, the same numbers in every process and version."""

from hypothesis import given, strategies as st

from antiphon.grammars.seeds import at_round, stream


def test_streams_are_the_same_everywhere():
    assert stream(0, "player", "Actor") == 50285857893713509
    assert at_round(0, 0) == 16294208416658607535 & ((1 << 63) - 1)  # splitmix64's first output


def test_names_are_kept_apart():
    assert len({stream(0, "a", "b"), stream(0, "ab"), stream(0, "b", "a"), stream(1, "a", "b")}) == 4


@given(st.integers(0, (1 << 63) - 1))
def test_rounds_of_one_stream_differ_and_fit_a_generator(base):
    seeds = [at_round(base, round) for round in range(50)]
    assert len(set(seeds)) == 50
    assert all(0 <= seed < 1 << 63 for seed in seeds)
