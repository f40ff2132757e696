"""Experiments with dac's relatives are run and judged like those with dac."""

import re


def test_the_critic_derivative_response_is_run_and_judged(antiphon, place, tiny_dac):
    changes = [each.replace("dac.", "critic_derivative.") for each in tiny_dac[1:]]
    told = antiphon("run", "critic-derivative", *changes)
    assert (told.code, told.error) == (0, "")
    assert re.search(r"evaluation return: -\d+\.\d over \d+ episodes", told.out)


def test_a_bandit_is_run_and_judged_by_the_distance_from_the_best_action(antiphon, place):
    changes = ["dac_bandit.batch=8", "dac_bandit.dimension=3", "dac_bandit.critic_widths=[4]"]
    changes += ["dac_bandit.deviator_widths=[]", "rounds_per_report=10", "players.Actor.start=5"]
    told = antiphon("run", "dac-bandit", "--rounds=20", *(f"--set={each}" for each in changes))
    assert (told.code, told.error) == (0, "")
    found = re.search(r"evaluation distance: (\d+\.\d) % over 3 coordinates", told.out)
    assert found is not None and 50 < float(found[1]) < 150
