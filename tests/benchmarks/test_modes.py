"""The benchmark of modes, in short: what counts as a mode that is found, and a run of adjusted players."""

import torch

from benchmarks import modes


def test_a_mode_is_found_if_enough_examples_are_near_it():
    spread = modes.CENTERS.repeat(200, 1)
    assert modes.judged(spread) == (16, 1.0)
    assert modes.judged(spread + 4 * modes.SCALE) == (0, 0.0)
    few = torch.cat([modes.CENTERS[:4].repeat(780, 1), modes.CENTERS.repeat(5, 1)])
    assert modes.judged(few) == (4, 1.0)


def test_adjusted_players_are_played_and_judged():
    found = modes.curve("symplectic", 0, modes.POINTS * 2)
    assert found.rounds[-1] == 32 and len(found.modes) == len(found.near) == modes.POINTS
    assert max(found.near) < 0.5  # nothing is learned yet
