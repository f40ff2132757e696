"""Experiments with dac's relatives are run and judged like those with dac."""

import re

from antiphon.envs import episode_returns
from antiphon.launching import launch
from antiphon.recipes.common.recipe import trained
from antiphon.recipes.common.tables import AgentTable, EvaluationTable
from antiphon.recipes.dac import DacTable, build, evaluate


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


def test_actor_is_judged_without_noise_on_seeds_of_its_own():
    table = DacTable(envs=2, batch=4, widths=[4], warmup=4, learn_from=3, keywords={"max_episode_steps": 3})
    grammar = build(table)
    with launch(grammar, AgentTable().specification(), executor="inline") as game:
        game.play(4)
        states = game.states()
    judged = evaluate(table, EvaluationTable(episodes=2), grammar, states)
    actor = trained(grammar, "Actor", states)
    assert list(judged.figures) == episode_returns("Pendulum-v1", actor, [10_000, 10_001], keywords=table.keywords)
    assert judged.cut == 0
