"""Experiments with dac's relatives are run and judged like those with dac."""

import re

import pytest

from antiphon.envs import episode_returns
from antiphon.errors import AntiphonError, ExperimentError
from antiphon.grammars.states import same_states
from antiphon.launching import launch
from antiphon.recipes import recipe_of
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


TINY = {"envs": 2, "batch": 4, "widths": [4], "warmup": 4, "learn_from": 3, "keywords": {"max_episode_steps": 3}}


def test_actor_is_judged_by_the_statistics_of_the_checkpoint():
    table = DacTable(**TINY, normalize_observations=True)
    grammar = build(table)
    with launch(grammar, AgentTable().specification(), executor="inline") as game:
        game.play(4)
        states = game.states()
    judged = evaluate(table, EvaluationTable(episodes=2), grammar, states)
    found, actor = states["Nature"]["scales"]["observations"], trained(grammar, "Actor", states)

    def policy(observed):
        return actor(((observed - found["mean"]) / (found["variance"] + 1e-8).sqrt()).clamp(-10, 10).float())

    plain = episode_returns("Pendulum-v1", policy, [10_000, 10_001], keywords=table.keywords)
    assert list(judged.figures) == pytest.approx(plain, rel=1e-4)
    with pytest.raises(ExperimentError, match="no statistics of observations"):
        evaluate(table, EvaluationTable(episodes=2), grammar, {name: states[name] for name in ("Actor", "Critic")})


@pytest.mark.parametrize("recipe", ["dac", "critic-derivative", "soft-actor-critic"])
def test_an_encoder_learns_from_pictures_and_is_part_of_what_is_judged(recipe):
    made = recipe_of(recipe)
    assert made is not None and made.evaluate is not None
    pictures = {"environment": "rigs.environments:Tiles", "channels": [2], "features": 3, "storage": "uint8"}
    table = made.table(**TINY | {"keywords": {}}, **pictures)
    grammar = made.build(table)
    with launch(grammar, AgentTable().specification(), executor="inline") as game:
        first = game.states()["Encoder"]
        game.play(6)
        states = game.states()
    assert not same_states(first, states["Encoder"])
    judged = made.evaluate(table, EvaluationTable(episodes=2, max_steps=3), grammar, states)
    assert len(judged.figures) == judged.cut == 2


@pytest.mark.parametrize("recipe", ["dac", "critic_derivative"])
def test_all_knobs_together_learn_and_are_equal_after_a_resumption(recipe):
    made = recipe_of(recipe.replace("_", "-"))
    assert made is not None
    twins = {"twin": True, "smoothing": 0.2, "delay": 2} if recipe == "critic_derivative" else {}
    knobs = {"normalize_observations": True, "normalize_rewards": True, "n_step": 3, "storage": "float16"}
    knobs |= {"priority_alpha": 0.6, "priority_rounds": 9, "noise": "ornstein-uhlenbeck", "act_every": 1}
    grammar, agents = made.build(made.table(**TINY, **knobs, **twins)), AgentTable().specification()
    with launch(grammar, agents, executor="inline") as game:
        game.play(8)
        states = game.states()
        losses = game.play(6).losses
    with launch(grammar, agents, executor="inline") as game:
        game.load(states, 8)
        assert game.play(6).losses == losses


@pytest.mark.parametrize(
    ("recipe", "knobs", "parts"),
    [
        ("dac", {"theta": 0.5}, ("'theta'", "0.5", "ornstein-uhlenbeck")),
        ("dac", {"priority_beta": 0.5}, ("'priority_beta'", "0.5", "priority_alpha")),
        ("dac", {"features": 5}, ("'features'", "5", "channels")),
        ("dac", {"channels": [4]}, ("'channels'", "no picture")),
        ("dac", {"storage": "uint8"}, ("uint8", "0 to 255", "float32")),
        ("dac", {"capacity": 7, "n_step": 4}, ("capacity is 7", "at least 8", "`n_step` 4")),
        ("critic-derivative", {"smoothing_clip": 0.1}, ("'smoothing_clip'", "0.1", "'smoothing'")),
    ],
)
def test_knobs_that_contradict_each_other_are_refused(recipe, knobs, parts):
    made = recipe_of(recipe)
    assert made is not None
    with pytest.raises(AntiphonError) as refused:
        made.build(made.table(**TINY, **knobs))
    assert all(part in str(refused.value) for part in parts)
