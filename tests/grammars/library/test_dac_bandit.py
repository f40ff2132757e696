"""DAC on bandits: who hears what; and on the quadratic bandit, where the gradient and the best action are known."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from antiphon.checks.suites.dac_bandit import networks
from antiphon.envs.bandit import TARGET, curvature
from antiphon.experiments.load import read_experiment
from antiphon.grammars.guarantee import Category
from antiphon.grammars.response import Product, Seed, Tap
from antiphon.launching import launch
from antiphon.recipes.common.recipe import trained


def kinds(player: str, kind: type) -> list[str]:
    response = networks(0).response
    return sorted(name for name in response.ancestors(f"deliver {player}") if isinstance(response.by_name[name], kind))


def test_actor_hears_the_slope_and_nothing_of_the_error():
    assert (kinds("Actor", Seed), kinds("Actor", Tap), kinds("Actor", Product)) == ([], ["tap Deviator"], ["Actor *"])


@pytest.mark.parametrize("player", ["Critic", "Deviator"])
def test_critic_and_deviator_hear_the_error_and_nothing_of_actor(player):
    assert (kinds(player, Seed), kinds(player, Tap)) == (["d GPE"], [])
    assert kinds(player, Product) == sorted(["GPE *", f"{player} *"])


def test_there_is_one_pass_and_no_clone():
    query = networks(0).query
    assert (len(query.passes), query.clones) == (1, ())
    assert networks(0).guarantee.categories == (Category.LEARNED, Category.ESTIMATED, Category.EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [10, 25, 50])
def test_the_slope_points_along_the_gradient_and_actor_reaches_the_best_action(dimension):
    experiment = read_experiment("dac-bandit", {"dac_bandit.dimension": dimension})
    grammar, matrix, cosines = experiment.build(), curvature(dimension).float(), {}
    with launch(grammar, experiment.agents(grammar)) as game, torch.no_grad():

        def look() -> tuple[float, float]:
            states = game.states()
            action = trained(grammar, "Actor", states)(torch.ones(1, 1))
            found = trained(grammar, "Deviator", states)(torch.ones(1, 1), action)
            away = action - TARGET
            return away.norm().item(), cosine_similarity(found, -2 * away @ matrix).item()

        start = distance = look()[0]
        while game.round < experiment.rounds:
            game.play(20)
            distance, cosine = look()
            for share in (0.5, 0.2):
                if distance < share * start:
                    cosines.setdefault(share, cosine)
    assert min(cosines.values()) > 0.85
    assert distance < 0.03 * start
