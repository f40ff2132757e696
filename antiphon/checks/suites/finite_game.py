"""Test finite games: players receive the loss of each action, and learners without swap regret reach a correlated
equilibrium of Shapley's game.
"""

from functools import partial

import torch

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Study, Suite
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.grammars import Grammar
from antiphon.grammars.library.finite_game import finite_game
from antiphon.grammars.library.matrix_games import shapley
from antiphon.oracles.referee import finite_referee

ROUNDS = 1000


def random_game(players: int, seed: int) -> Grammar:
    """Make a game of two to four actions per player, with random losses in [-1, 1]. players: number of players."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [2 + (seed + index) % 3 for index in range(players)]
    draw = 2 * torch.rand(len(sizes), *sizes, generator=generator, dtype=torch.float64) - 1
    losses = {f"Player{index + 1}": table for index, table in enumerate(draw)}
    return finite_game(losses, referee=finite_referee(losses))


def swap_regret(seed: int) -> Measured:
    """Let two learners play Shapley's game, and compare the referee's gap with the bound on the swap regret."""
    losses = shapley()
    grammar = finite_game(losses, referee=finite_referee(losses))
    agents = AgentSpecification.of(agent="swap-regret", arguments={"horizon": ROUNDS})
    with InlineExecutor(assign(grammar, agents, seed=seed)) as play:
        reports = play.play(ROUNDS).reports
    gap, bound = reports["Referee"]["gap"], max(reports[name]["swap_bound"] for name in losses) / ROUNDS
    return Measured("all", gap, bound, "swap-regret", f"the gap after {ROUNDS} rounds")


SUITE = Suite(
    "finite-game",
    (Case("two players", partial(random_game, 2), 6), Case("three players", partial(random_game, 3), 4)),
    (Study("in Shapley's game, the distance from a correlated equilibrium is under its bound", swap_regret, 2),),
)
