"""Test gated games: each unit of a rectifier network receives its gradient, and keeps its regret under its bound."""

import torch

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Study, Suite
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs import arrays
from antiphon.grammars import Grammar
from antiphon.grammars.library.gated_game import gated_game
from antiphon.grammars.library.networks import dense_layers

ROUNDS = 300
AGENT = {"radius": 1.5, "steepest": 10.0}
"""Arguments of `projected-descent` for these networks: with longer first steps most units would never be active."""


def small_network(seed: int) -> Grammar:
    """Make the gated game of a network of two to four units in each of two layers, on batches of random examples."""
    return _network(seed, [2 + seed % 3, 2 + seed % 2], batch=8)


def online_network(seed: int) -> Grammar:
    """Make the gated game of a network of eight and six rectifier units, with one random example in each round."""
    return _network(seed, [8, 6], batch=1)


def _network(seed: int, widths: list[int], batch: int) -> Grammar:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 3, generator=generator)
    y = (x @ torch.randn(3, 1, generator=generator)).sin()
    return gated_game(arrays(x, y, batch=batch), dense_layers((3,), widths, 1))


def under_the_bound(seed: int) -> Measured:
    """Let all units learn online, and return the largest regret of a unit relative to the bound 1.5 D G sqrt(T)."""
    agents = AgentSpecification.of(agent="projected-descent", arguments=AGENT)
    with InlineExecutor(assign(online_network(seed), agents, seed=seed)) as play:
        reports = play.play(ROUNDS).reports
    playing = {name: each for name, each in reports.items() if each.get("active_rounds", 0) > ROUNDS / 10}
    name, worst = max(playing.items(), key=lambda each: each[1]["regret"] / each[1]["bound"])
    detail = f"{len(playing)} units play often; {name} played in {worst['active_rounds']:.0f} of {ROUNDS} rounds"
    return Measured("all", worst["regret"] / worst["bound"], 1.0, name, detail)


SUITE = Suite(
    "gated-game",
    (Case("random networks", small_network, instances=6),),
    (Study("the regret of each unit is under 1.5 D G sqrt(T) over its T active rounds", under_the_bound, 2),),
)
