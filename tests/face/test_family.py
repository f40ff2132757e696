"""The experiments of the wider family learn: the evaluation after training, beside what no training gives."""

import pytest

from antiphon.experiments.load import read_experiment
from antiphon.launching import launch

RULES = (
    *("feedback-alignment", "direct-feedback-alignment", "sign-symmetry"),
    *("target-propagation", "synthetic-gradients"),
)
OTHERS = {"forward-forward": 85.0, "byol": 70.0, "reinforce": 70.0, "truncated-bptt": 85.0}
AT_LEAST = dict.fromkeys(RULES, 90.0) | OTHERS


def evaluated(name: str, rounds: int, **changes: object) -> float:
    experiment = read_experiment(name, changes)
    assert experiment.recipe is not None and experiment.recipe.evaluate is not None  # true for library grammars
    grammar = experiment.build()
    with launch(grammar, experiment.agents(grammar)) as game:
        game.play(rounds)
        return experiment.recipe.evaluate(experiment.table, experiment.evaluation, grammar, game.states()).mean


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_LEAST)
def test_an_experiment_learns(name):
    assert evaluated(name, 600) >= AT_LEAST[name]


@pytest.mark.slow
def test_images_that_were_made_come_closer_to_real_ones_by_learning():
    assert evaluated("diffusion", 1500) < evaluated("diffusion", 1) / 4
