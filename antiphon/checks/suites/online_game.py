"""Test online learning against adversaries: Player receives the slope, and regrets stay under their bounds."""

import torch

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Study, Suite
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs.adversary import Losses, adversary
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library.online_game import online_game
from antiphon.grammars.library.point import Point
from antiphon.grammars.library.strategy import MixedStrategy

LOSSES: tuple[Losses, ...] = ("heaviest", "coins", "leader", "orthogonal")
ROUNDS = 500


def of_adversary(losses: Losses, dimension: int, start: float = 0.0) -> Grammar:
    """Make the game against one adversary in float64. start: of every coordinate against "orthogonal"."""
    dtype = torch.float64
    point, strategy = Factory.of(Point, dimension, start, dtype), Factory.of(MixedStrategy, dimension, dtype=dtype)
    return online_game(adversary(losses, dimension, dtype=dtype), point if losses == "orthogonal" else strategy)


def any_adversary(seed: int) -> Grammar:
    """Make the game against each adversary in turn, in six to ten dimensions."""
    return of_adversary(LOSSES[seed % 4], 6 + seed % 5, start=0.1)


def under_the_bound(seed: int) -> Measured:
    """Measure the regret of a learner as Nature counts it, compared with the bound that theory gives: Hedge against
    losses of actions, projected descent against slopes at right angles."""
    losses = LOSSES[seed % 4]
    name = "projected-descent" if losses == "orthogonal" else "hedge"
    agent = AgentSpecification.of(agent=name, arguments={"horizon": ROUNDS})
    with InlineExecutor(assign(of_adversary(losses, 6), agent, seed=seed)) as play:
        reports = play.play(ROUNDS).reports
    return Measured("Player", reports["Nature"]["regret"], reports["Player"]["bound"], name, f"against {losses!r}")


SUITE = Suite(
    "online-game",
    (Case("adversaries", any_adversary),),
    (Study("the regret is under its bound", under_the_bound, 4),),
)
