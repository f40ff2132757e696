"""Games compared with theory: factors on l = xy, regrets under their bounds, gaps to a correlated equilibrium.

python -m benchmarks.games [--rounds 2000] [--moves 300]
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.suites.convex_game import LEARNERS, STEPS, distances, fitted_factor
from antiphon.checks.suites.gated_game import AGENT, online_network
from antiphon.checks.suites.online_game import LOSSES, of_adversary
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.finite_game import finite_game
from antiphon.grammars.library.matrix_games import shapley
from antiphon.launching import launch
from antiphon.oracles.referee import finite_referee
from benchmarks.report import machine, options, table, write_section

PICTURE = Path(__file__).with_name("games.png")
Reports = Mapping[str, Mapping[str, float]]
ACTIONS, POINTS = 10, 30
GAPS = {"swap-regret": "gap", "hedge": "coarse_gap"}
"""The learners in Shapley's game, and the referee's number that theory bounds for each."""


def by_name(agent: str, **arguments: float) -> AgentSpecification:
    """Return the specification of an agent for games."""
    return AgentSpecification.of(agent=agent, arguments=arguments)


def factors(moves: int) -> Iterator[tuple[str, float, float, float]]:
    """Yield (learner, step size, measured factor per move, factor of theory) on l = xy, l = -xy."""
    for name, (_, _, expected) in LEARNERS.items():
        for step in STEPS:
            yield name, step, fitted_factor(distances(name, step, moves)), expected(step)


def reports_at(grammar: Grammar, agents: AgentSpecification, rounds: Sequence[int]) -> list[Reports]:
    """Play a game, and return its reports after each of the given numbers of rounds."""
    with launch(grammar, agents, seed=1) as play:
        return [play.play(each - play.round).reports for each in rounds]


def regrets(rounds: int) -> Iterator[tuple[str, str, float, float]]:
    """Yield (learner, adversary, regret as Nature counts it, bound of theory), each after `rounds` rounds."""
    for losses in LOSSES:
        name = "projected-descent" if losses == "orthogonal" else "hedge"
        (reports,) = reports_at(of_adversary(losses, ACTIONS), by_name(name, horizon=rounds), [rounds])
        bound = 2 * math.sqrt(rounds) if losses == "orthogonal" else math.sqrt(rounds * math.log(ACTIONS) / 2)
        yield name, losses, reports["Nature"]["regret"], bound


def units(rounds: int) -> Iterator[tuple[str, float, float, float]]:
    """Yield (unit, its active rounds, its regret, its bound) of a small rectifier network that learns online."""
    (reports,) = reports_at(online_network(2), by_name("projected-descent", **AGENT), [rounds])
    for name, each in reports.items():
        if "bound" in each:
            yield name, each["active_rounds"], each["regret"], each["bound"]


def in_shapleys_game(agent: str, rounds: Sequence[int]) -> list[tuple[float, float, float, float]]:
    """Return (gap, coarse gap, Nash gap of the last strategies, bound of theory) after each number of rounds.

    The bound is that of a learner whose horizon is not known: `horizon` is not given.
    """
    losses = shapley()
    found = reports_at(finite_game(losses, referee=finite_referee(losses)), by_name(agent), rounds)
    key = "swap_bound" if agent == "swap-regret" else "bound"
    judged = [each["Referee"] for each in found]
    bounds = [max(each[name][key] for name in losses) / count for each, count in zip(found, rounds, strict=True)]
    return [
        (each["gap"], each["coarse_gap"], each["nash_gap"], bound) for each, bound in zip(judged, bounds, strict=True)
    ]


def draw(curves: Mapping[str, list[float]], gaps: Mapping[str, list[tuple[float, ...]]], rounds: Sequence[int]) -> None:
    """Draw the distances from zero on l = xy, l = -xy by move, and the gaps in Shapley's game by round."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    for name, curve in curves.items():
        left.plot(curve, label=name)
    left.set(title="l = xy, l = -xy, step 0.3", xlabel="moves", ylabel="distance from the equilibrium", yscale="log")
    for index, (name, found) in enumerate(gaps.items()):
        place = 0 if GAPS[name] == "gap" else 1
        right.plot(rounds, [each[place] for each in found], f"C{index}", label=f"{name}: {GAPS[name]}")
        right.plot(rounds, [each[3] for each in found], f"C{index}:", label=f"{name}: bound")
    right.set(title="Shapley's game", xlabel="rounds", ylabel="gap", xscale="log", yscale="log")
    for axis in (left, right):
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def milestones(rounds: int) -> list[int]:
    """Return increasing numbers of rounds up to `rounds`, at about equal ratios."""
    return sorted({round(rounds ** (index / POINTS)) for index in range(POINTS + 1)})


def main() -> None:
    """Play all games, print the tables, and write this benchmark's section of RESULTS.md and the picture."""
    chosen = options(__doc__, rounds=2000, moves=300)
    rounds = chosen.pop("rounds")
    times = milestones(rounds)
    gaps = {agent: in_shapleys_game(agent, times) for agent in GAPS}
    draw({name: distances(name, 0.3, 60) for name in LEARNERS}, gaps, times)
    speed = [[name, step, f"{found:.5f}", f"{theory:.5f}"] for name, step, found, theory in factors(chosen["moves"])]
    paid = [[*who, f"{found:.2f}", f"{bound:.2f}"] for *who, found, bound in regrets(rounds)]
    gated = [[who, f"{active:.0f}", f"{found:.2f}", f"{bound:.2f}"] for who, active, found, bound in units(rounds)]
    rest = [[agent, *(f"{each:.4f}" for each in found[-1])] for agent, found in gaps.items()]
    tables = (
        table(["learner", "step", "factor of a move", "theory"], speed),
        table(["learner", "adversary", "regret", "bound"], paid),
        table(["unit", "active rounds", "regret", "bound"], gated),
        table(["learner", "gap", "coarse gap", "Nash gap", "bound"], rest),
    )
    print(*tables, sep="\n\n")
    write_section("Games against theory", TEXT.format(*tables, rounds=rounds, machine=machine(), **chosen))


TEXT = """`python -m benchmarks.games` ({machine}). The factor by which one move multiplies the distance from the
equilibrium of l = xy, l = -xy, in the limit of {moves} moves. Extragradient takes two rounds for a move.

{0}

The regret of a learner over {rounds} rounds, as Nature counts it. Hedge plays one of ten actions, with losses in
[0, 1]; projected descent plays a point of the unit ball in ten dimensions.

{1}

The regret of each unit of a rectifier network that learns online, one example a round, over {rounds} rounds; the bound
is 1.5 D G sqrt(active rounds).

{2}

Shapley's game after {rounds} rounds, from random strategies, with rates that need no horizon. The bound is on the gap
for `swap-regret`, and on the coarse gap for `hedge`. The last strategies circle: their Nash gap stays.

{3}

![Distances and gaps](games.png)
"""


if __name__ == "__main__":
    main()
