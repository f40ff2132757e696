"""Agents for games, each against closed forms: bounds on regret, stationary distributions, textbook optimizers."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from antiphon.agents import AgentHost, AgentSpecification
from antiphon.agents.games import LIBRARY, agent_named
from antiphon.agents.games.extragradient import Extragradient
from antiphon.agents.games.hedge import Hedge
from antiphon.agents.games.optimistic import Optimistic
from antiphon.agents.games.projected_descent import ProjectedDescent
from antiphon.agents.games.swap_regret import SwapRegret, stationary
from antiphon.errors import AgentError, ExperimentError
from antiphon.testing import check_agent
from rigs.agents import Momentum

DOUBLE = torch.float64
Adversary = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(play, sum of all losses so far, round) -> losses."""


def distributions(kind: Callable, **arguments) -> Callable:
    """The agent for any parameters: those that are no distributions are first made into some, in place."""

    def make(parameters: Sequence[Tensor]):
        for each in parameters:
            if float(each.min()) < 0:
                each.copy_(each.softmax(-1))
        return kind(parameters, **arguments)

    return make


def wide(parameters: Sequence[Tensor], **arguments) -> ProjectedDescent:
    return ProjectedDescent(parameters, radius=20.0, **arguments)


AGENTS = {
    "hedge": distributions(Hedge, horizon=4),
    "hedge, any time": distributions(Hedge, optimistic=True),
    "swap-regret": distributions(SwapRegret),
    "projected-descent": wide,
    "projected-descent, cube": lambda parameters: wide(parameters, domain="cube", horizon=9),
    "projected-descent, simplex": distributions(ProjectedDescent, domain="simplex"),
    "optimistic": Optimistic,
    "optimistic Adam": lambda parameters: Optimistic(parameters, base="Adam", lr=0.1),
    "extragradient": Extragradient,
    "extragradient Adam": lambda parameters: Extragradient(parameters, base="Adam", lr=0.1),
}


@pytest.mark.parametrize("name", AGENTS)
def test_the_contract_of_agents_is_kept(name):
    check_agent(AGENTS[name])


def test_every_agent_is_found_by_the_name_of_its_file():
    assert {name.partition(",")[0].partition(" ")[0] for name in AGENTS} == {*LIBRARY}
    assert agent_named("swap-regret") is SwapRegret
    with pytest.raises(ExperimentError, match="'torch', 'extragradient', 'hedge'"):
        agent_named("hegde")


def plays(agent, start: Tensor, adversary: Adversary, rounds: int, sign: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """What an agent plays and what it is told, (rounds, n) each. sign: -1 for an agent that is told the opposite."""
    played, told, total = [], [], np.zeros(len(start))
    for round in range(rounds):
        play = start.numpy().copy()
        losses = adversary(play, total, round)
        total = total + losses
        played.append(play)
        told.append(losses)
        agent.hear([sign * torch.from_numpy(losses)])
        start.copy_(agent.move()[0])
    return np.array(played), np.array(told)


def regret(played: np.ndarray, told: np.ndarray) -> float:
    """By its definition: what was paid, minus what the best action would have paid."""
    return float((played * told).sum() - told.sum(0).min())


def one_hot(index: int, n: int) -> np.ndarray:
    return np.eye(n)[index]


def coins(seed: int) -> Adversary:
    tossed = np.random.default_rng(seed)
    return lambda play, total, round: tossed.integers(0, 2, len(play)).astype(float)


ADVERSARIES: dict[str, Adversary] = {
    "coins": coins(0),
    "leader": lambda play, total, round: one_hot(int(total.argmin()), len(play)),
    "heaviest": lambda play, total, round: one_hot(int(play.argmax()), len(play)),
    "lightest": lambda play, total, round: 1 - one_hot(int(play.argmin()), len(play)),
    "switches": lambda play, total, round: one_hot(int(round % 100 < 50), len(play)),
}


def hedged(adversary: Adversary, rounds: int, n: int, sign: float = 1.0, **arguments) -> float:
    """The regret of Hedge. sign: -1 for a mutant that moves in the wrong direction."""
    start = torch.full((n,), 1 / n, dtype=DOUBLE)
    return regret(*plays(Hedge([start], **arguments), start, adversary, rounds, sign))


@pytest.mark.parametrize(("rounds", "n"), [(50, 2), (400, 10)])
@pytest.mark.parametrize("name", ADVERSARIES)
def test_hedges_regret_is_under_its_bound(name, rounds, n):
    assert hedged(ADVERSARIES[name], rounds, n, horizon=rounds) <= math.sqrt(rounds * math.log(n) / 2)


def test_hedges_bound_holds_for_every_sequence_of_eight_rounds():
    sequences = itertools.product([np.array([0.0, 1.0]), np.array([1.0, 0.0])], repeat=8)
    worst = max(hedged(lambda play, total, round, s=s: s[round], 8, 2, horizon=8) for s in sequences)
    assert 0.8 < worst <= math.sqrt(8 * math.log(2) / 2)


@pytest.mark.parametrize("mutant", [{"sign": -1.0, "horizon": 400}, {"lr": 50.0}, {"lr": 0.001}])
def test_a_wrong_sign_or_a_wrong_rate_breaks_the_bound(mutant):
    regrets = [hedged(each, 400, 10, **mutant) for each in ADVERSARIES.values()]
    assert max(regrets) > math.sqrt(400 * math.log(10) / 2)


@pytest.mark.parametrize("kind", [Hedge, SwapRegret])
@pytest.mark.parametrize("arguments", [{"horizon": 200}, {}, {"lr": 0.2}])
def test_reported_regrets_are_those_of_the_definitions_and_under_the_reported_bounds(kind, arguments):
    for adversary in ADVERSARIES.values():
        start = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
        agent = kind([start], **arguments)
        played, told = plays(agent, start, adversary, 200)
        report = agent.report()
        assert report["regret"] == pytest.approx(regret(played, told), abs=1e-9)
        if kind is SwapRegret:
            assert report["swap_regret"] == pytest.approx(swap_regret(played, told), abs=1e-9)
        found = report["swap_regret" if kind is SwapRegret else "regret"]
        assert found <= report["swap_bound" if kind is SwapRegret else "bound"]


def swap_regret(played: np.ndarray, told: np.ndarray) -> float:
    """By its definition: the maximum over all functions from actions to actions."""
    n = played.shape[1]
    functions = itertools.product(range(n), repeat=n)
    return float((played * told).sum() - min((played * told[:, list(f)]).sum() for f in functions))


@pytest.mark.parametrize("name", ADVERSARIES)
def test_the_swap_regret_is_under_its_bound(name):
    start = torch.full((3,), 1 / 3, dtype=DOUBLE)
    played, told = plays(SwapRegret([start], horizon=300), start, ADVERSARIES[name], 300)
    assert swap_regret(played, told) <= math.sqrt(300 * 3 * math.log(3) / 2)


def test_stationary_distributions_are_eigenvectors_also_of_nearly_separate_actions():
    matrices = torch.rand(5, 4, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    matrices[0] = torch.eye(4) + 1e-12 * matrices[0]
    matrices /= matrices.sum(-1, keepdim=True)
    found = stationary(matrices)
    values, vectors = np.linalg.eig(matrices[1:].mT.numpy())
    for index, p in enumerate(found[1:]):
        expected = np.real(vectors[index][:, np.abs(values[index] - 1).argmin()])
        np.testing.assert_allclose(p, expected / expected.sum(), atol=1e-12)
    torch.testing.assert_close(found[:, None] @ matrices, found[:, None])
    torch.testing.assert_close(found.sum(-1), torch.ones(5, dtype=DOUBLE))


def orthogonal(play: np.ndarray, total: np.ndarray, round: int) -> np.ndarray:
    """A unit vector at right angles to the play and to all before: every learner pays nothing, the best -sqrt(T)."""
    slope = np.cross(play, total)
    slope = slope if np.linalg.norm(slope) > 1e-9 else np.linalg.svd(np.array([play, total]))[2][-1]
    return slope / np.linalg.norm(slope)


def on_ball(
    adversary: Adversary, rounds: int, start: Sequence[float], **arguments
) -> tuple[ProjectedDescent, float, float]:
    """An agent after some rounds, its regret against the best point of the unit ball by the definition, and D G."""
    at = torch.tensor(start, dtype=DOUBLE)
    agent = ProjectedDescent([at], **arguments)
    played, told = plays(agent, at, adversary, rounds)
    steepest = float(np.linalg.norm(told, axis=1).max())
    return agent, float((played * told).sum() + np.linalg.norm(told.sum(0))), 2 * steepest


@pytest.mark.parametrize("arguments", [{"horizon": 400}, {}])
def test_projected_descent_has_the_regret_that_nobody_avoids_and_its_bound(arguments):
    agent, found, scale = on_ball(orthogonal, 400, [0.0, 0.0, 0.0], **arguments)
    assert found == pytest.approx(math.sqrt(400))  # R sqrt(T), whatever is played
    assert agent.report()["regret"] == pytest.approx(found)
    assert agent.report()["bound"] == pytest.approx((1 if arguments else 1.5) * scale * math.sqrt(400))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("arguments", [{"horizon": 200}, {}])
def test_projected_descents_regret_is_under_its_bound_for_slopes_of_any_length(arguments, seed):
    drawn = np.random.default_rng(seed)
    drift = drawn.normal(size=3)
    for by in (lambda *_: (drift + drawn.normal(size=3)) * drawn.exponential(), lambda play, *_: play + 0.1 * drift):
        _, found, scale = on_ball(by, 200, [1.0, 0.0, 0.0], **arguments)
        assert found <= (1 if arguments else 1.5) * scale * math.sqrt(200)


def test_a_step_by_active_rounds_keeps_the_bound_where_a_step_by_all_rounds_does_not():
    def rarely(play: np.ndarray, total: np.ndarray, round: int) -> np.ndarray:
        return np.array([float(round % 100 == 0), 0.0])

    by_active, found, scale = on_ball(rarely, 1600, [1.0, 0.0])
    _, worse, _ = on_ball(rarely, 1600, [1.0, 0.0], horizon=1600)
    bound = 1.5 * scale * math.sqrt(16)
    assert by_active.report()["active_rounds"] == 16
    assert found <= bound < worse


@pytest.mark.parametrize("domain", ["ball", "cube", "simplex"])
def test_plays_stay_in_the_domain_and_are_the_nearest_points(domain):
    """The nearest point p to z is the one with <z - p, u - p> <= 0 for all u of the domain."""
    generator = torch.Generator().manual_seed(1)
    start = torch.full((4,), 0.25, dtype=DOUBLE)
    agent = ProjectedDescent([start], domain=domain)
    corners = {"ball": torch.randn(200, 4, generator=generator, dtype=DOUBLE), "simplex": torch.eye(4, dtype=DOUBLE)}
    corners["ball"] /= corners["ball"].norm(dim=1, keepdim=True)
    corners["cube"] = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4)), dtype=DOUBLE)
    diameter = {"ball": 2.0, "cube": 4.0, "simplex": math.sqrt(2)}[domain]
    steepest = 0.0
    for round in range(1, 20):
        slope = torch.randn(4, generator=generator, dtype=DOUBLE)
        steepest = max(steepest, float(slope.norm()))
        aim = start - diameter / steepest / math.sqrt(round) * slope
        agent.hear([slope])
        start.copy_(agent.move()[0])
        assert float(((aim - start) * (corners[domain] - start)).sum(1).max()) <= 1e-9
        assert domain != "simplex" or (start.min() >= 0 and float(start.sum()) == pytest.approx(1))


SLOPES = [np.array([1.0, -2.0]), np.array([0.5, 1.0]), np.array([-3.0, 0.2]), np.array([0.1, 0.1])]


def adam(slopes: Sequence[np.ndarray], lr: float, b1: float, b2: float) -> list[np.ndarray]:
    """The steps of Adam (Kingma and Ba 2015, algorithm 1), without the minus sign."""
    m = v = np.zeros(2)
    steps = []
    for t, g in enumerate(slopes, start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        steps.append(lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8))
    return steps


def moved(agent, slopes: Sequence[np.ndarray]) -> list[np.ndarray]:
    found = []
    for slope in slopes:
        agent.hear([torch.from_numpy(slope)])
        found.append(agent.move()[0].numpy().copy())
    return found


def test_optimistic_adam_is_that_of_its_paper():
    """Daskalakis et al. 2018, algorithm 1: minus twice this step, plus the last one."""
    steps = [np.zeros(2), *adam(SLOPES, 0.1, 0.5, 0.9)]
    changes = [-2 * step + last for last, step in itertools.pairwise(steps)]
    agent = Optimistic([torch.ones(2, dtype=DOUBLE)], base="Adam", lr=0.1, betas=(0.5, 0.9))
    np.testing.assert_allclose(moved(agent, SLOPES), 1 + np.cumsum(changes, 0), rtol=1e-12)


def test_extragradient_adam_looks_ahead_and_goes_back():
    steps = adam(SLOPES, 0.1, 0.5, 0.9)
    after = 1 - steps[1]
    expected = [1 - steps[0], after, after - steps[2], after - steps[3]]
    agent = Extragradient([torch.ones(2, dtype=DOUBLE)], base="Adam", lr=0.1, betas=(0.5, 0.9))
    np.testing.assert_allclose(moved(agent, SLOPES), expected, rtol=1e-12)


def test_optimistic_hedge_counts_the_last_loss_twice():
    start = torch.tensor([0.2, 0.8], dtype=DOUBLE)
    found = moved(Hedge([start.clone()], lr=0.3, optimistic=True), SLOPES)
    for count, play in enumerate(found, start=1):
        weights = start.numpy() * np.exp(-0.3 * (sum(SLOPES[:count]) + SLOPES[count - 1]))
        np.testing.assert_allclose(play, weights / weights.sum(), rtol=1e-12)


class Reporting(Momentum):
    """An agent that reports what it is told to."""

    def __init__(self, parameters: Sequence[Tensor], told: str = "0.5") -> None:
        super().__init__(parameters)
        self.told = told

    def report(self):
        return {"number": self.told} if self.told != "none" else None


def test_an_agents_report_is_numbers_by_name_or_an_error_that_names_the_player(named):
    def host(told: str) -> AgentHost:
        specification = AgentSpecification.of(agent=named(Reporting), arguments={"told": told})
        return AgentHost("Eye", specification, [("weight", torch.ones(2))])

    assert host("0.5").report() == {"number": 0.5}
    plain = AgentSpecification.of(agent=named(Momentum)), AgentSpecification.of("SGD", {"lr": 0.25})
    assert [AgentHost("Eye", each, [("weight", torch.ones(2))]).report() for each in plain] == [{}, {"lr": 0.25}]
    for wrong in ("many", "none"):
        with pytest.raises(AgentError, match=r"'Eye' raised .* in report: .*Expected numbers by name"):
            host(wrong).report()


@pytest.mark.parametrize(
    ("kind", "start", "arguments"),
    [
        (Hedge, [0.5, 0.6], {}),
        (SwapRegret, [1.5, -0.5], {}),
        (Hedge, [math.nan, 1.0], {}),
        (ProjectedDescent, [3.0, 4.0], {"radius": 4.0}),
        (ProjectedDescent, [0.5, 0.6], {"domain": "simplex"}),
    ],
)
def test_a_start_outside_of_the_domain_is_refused(kind, start, arguments):
    with pytest.raises(ExperimentError, match=f"{kind.__name__}.* away from its domain.*expected a point of it"):
        kind([torch.tensor(start)], **arguments)


@pytest.mark.parametrize("wrong", [{"horizon": 0}, {"lr": -1.0}, {"loss_range": "wide"}, {"rate": 0.1}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ExperimentError, match=f"Hedge.*{next(iter(wrong))}"):
        Hedge([torch.ones(1)], **wrong)
