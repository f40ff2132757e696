"""Grammar 4: who hears what, read off the Response graph."""

import pytest
import torch
from torch import nn

from antiphon.grammars.cadence import Cadence
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library import dac
from antiphon.grammars.oracle import OracleDeclaration, Question
from antiphon.grammars.random_grammars import Samples, batch_of
from antiphon.grammars.response import Product, Seed, Tap
from antiphon.grammars.types import EdgeType


class OfBoth(nn.Module):
    """A function of state and action."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(5, out)

    def forward(self, state, action):
        return self.layer(torch.cat([state, action], 1))


def made(**options) -> Grammar:
    state, action, number = (batch_of(*shape, dtype=torch.float32) for shape in ((3,), (2,), ()))
    one, act = EdgeType((1, 3)), EdgeType((1, 2))
    questions = (
        Question("observe", (), (one,)),
        Question("step", (act,), ()),
        Question("replay", (), (state, action, number, state, number)),
    )
    nature = OracleDeclaration(Factory.of(Samples), questions, (("batch", 8),))
    noise = OracleDeclaration(Factory.of(Samples), (Question("draw", (), (act,)),))
    actor, critic, deviator = Factory.of(nn.Linear, 3, 2), Factory.of(OfBoth, 1), Factory.of(OfBoth, 2)
    return dac(nature, noise, actor, critic, deviator, **options)


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return made()


def kinds(grammar: Grammar, player: str, kind: type) -> list[str]:
    nodes = grammar.response.by_name
    return sorted(name for name in grammar.response.ancestors(f"deliver {player}") if isinstance(nodes[name], kind))


def test_actor_hears_nothing_that_depends_on_the_bellman_gradient_error(grammar):
    assert kinds(grammar, "Actor", Seed) == []
    assert kinds(grammar, "Actor", Tap) == ["tap Deviator"]
    assert kinds(grammar, "Actor", Product) == ["Actor#2 *"]


@pytest.mark.parametrize("player", ["Critic", "Deviator"])
def test_critic_and_deviator_hear_the_error_and_nothing_of_the_tap(grammar, player):
    assert kinds(grammar, player, Tap) == []
    assert kinds(grammar, player, Seed) == ["d BGE"]
    assert kinds(grammar, player, Product) == sorted(["BGE *", f"{player} *"])


def test_nobody_is_asked_for_the_slope_of_the_value(grammar):
    products = {node.name: node for node in grammar.response.nodes if isinstance(node, Product)}
    assert products["Critic *"].toward == products["Deviator *"].toward == ()


def test_the_clones_hear_nothing_and_follow(grammar):
    assert {clone.name: (clone.player, clone.soft) for clone in grammar.query.clones} == {
        "Actor~": ("Actor", 0.005),
        "Critic~": ("Critic", 0.005),
    }


def test_acting_and_learning_are_two_passes_with_cadences():
    passes = made(act_every=2, learn_from=10, clone_every=3).query
    assert passes.cadences == {"act": Cadence(2), "learn": Cadence(1, 10)}
    assert {clone.cadence for clone in passes.clones} == {Cadence(3, 10)}
    acting = [node.name for node in passes.nodes if node.query_pass == "act"]
    assert acting == ["Nature.observe", "Actor", "Noise.draw", "perturb", "Nature.step"]


def test_three_categories_are_promised(grammar):
    assert grammar.guarantee.categories == (Category.LEARNED, Category.ESTIMATED, Category.EXACT)
