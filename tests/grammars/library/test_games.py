"""Games: what is delivered, known equilibria, and play that circles outwards, comes to rest, or stays in between."""

import functools
import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from antiphon.agents import AgentSpecification
from antiphon.checks.mutants import flipped
from antiphon.checks.suites.convex_game import LEARNERS, bilinear_game, distances, fitted_factor
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs import arrays
from antiphon.envs.adversary import adversary
from antiphon.errors import AntiphonError, GrammarError, OracleError
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.equilibrium import action_losses, mean_regrets, nash_gap
from antiphon.grammars.library.convex_game import convex_game
from antiphon.grammars.library.finite_game import expected_loss, finite_game
from antiphon.grammars.library.gated_game import gated_game
from antiphon.grammars.library.matrix_games import MATRIX_GAMES
from antiphon.grammars.library.networks import dense_layers
from antiphon.grammars.library.online_game import online_game
from antiphon.grammars.library.strategy import MixedStrategy
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.oracles.referee import finite_referee, point_referee
from antiphon.recipes.convex_game import RECIPE as CONVEX
from antiphon.testing import check_oracle

ROUNDS = 400


def by_name(agent: str, **arguments) -> AgentSpecification:
    return AgentSpecification.of(agent=agent, arguments=arguments)


def gain(joint: np.ndarray, losses: np.ndarray, player: int, swaps: tuple[int, ...]) -> float:
    """By the definition: what a player saves if its action a is always replaced by swaps[a]."""
    found = 0.0
    for actions in itertools.product(*map(range, joint.shape)):
        swapped = tuple(swaps[a] if index == player else a for index, a in enumerate(actions))
        found += joint[actions] * (losses[actions] - losses[swapped])
    return found


def gaps(joint: np.ndarray, losses: Mapping[str, Tensor]) -> tuple[float, float]:
    """By the definitions: the distance from a correlated, and from a coarse correlated equilibrium."""
    tables = [each.double().numpy() for each in losses.values()]
    n = range(joint.shape[0])
    every = [tuple(each) for each in itertools.product(n, repeat=len(n))]
    constant = [(each,) * len(n) for each in n]
    swap, fixed = (
        max(gain(joint, table, player, swaps) for player, table in enumerate(tables) for swaps in among)
        for among in (every, constant)
    )
    return swap, fixed


@functools.cache
def shapley_play(rounds: int, wrong: bool = False):
    """The mean joint distribution of actions of two `swap-regret` players, from their parameters of every round, and
    the last reports.

    wrong: play a mutant whose players are told minus their gradients.
    """
    losses = MATRIX_GAMES["shapley"]()
    grammar = finite_game(losses, referee=finite_referee(losses))
    for each in grammar.response.deliveries if wrong else ():
        grammar = flipped(grammar, each.message)
    joint, reports = np.zeros((3, 3)), {}
    with InlineExecutor(assign(grammar, by_name("swap-regret", horizon=rounds), seed=1)) as play:
        for _ in range(rounds):
            row, column = (play.states()[name]["parameters"]["theta"].double().numpy() for name in losses)
            joint += np.outer(row, column) / rounds
            reports = play.play(1).reports
    return joint, reports


def test_swap_regret_players_reach_an_approximate_correlated_equilibrium_of_shapleys_game():
    losses = MATRIX_GAMES["shapley"]()
    joint, reports = shapley_play(ROUNDS)
    swap, fixed = gaps(joint, losses)
    assert swap <= math.sqrt(3 * math.log(3) / (2 * ROUNDS))
    assert reports["Referee"]["gap"] == pytest.approx(swap, abs=1e-6)
    assert reports["Referee"]["coarse_gap"] == pytest.approx(fixed, abs=1e-6)
    for name in losses:
        assert reports["Referee"][f"swap_regret_of_{name}"] == pytest.approx(reports[name]["swap_regret"], abs=1e-3)
    wrong, _ = gaps(shapley_play(100, wrong=True)[0], losses)
    assert wrong > math.sqrt(3 * math.log(3) / (2 * 100))


def test_the_distance_from_the_nearest_correlated_equilibrium_is_small_too():
    """Found by a linear program: the smallest change of the joint distribution that removes every gain."""
    losses = MATRIX_GAMES["shapley"]()
    joint, _ = shapley_play(ROUNDS)
    tables = [each.double().numpy() for each in losses.values()]
    unit = np.eye(9).reshape(9, 3, 3)
    rows = [
        [gain(each, table, player, tuple(b if c == a else c for c in range(3))) for each in unit]
        for player, table in enumerate(tables)
        for a, b in itertools.permutations(range(3), 2)
    ]
    # minimise the sum of |q - joint|, as the sum of t with -t <= q - joint <= t
    gains = np.hstack([rows, np.zeros((len(rows), 9))])
    around = np.block([[np.eye(9), -np.eye(9)], [-np.eye(9), -np.eye(9)]])
    limits = np.concatenate([np.zeros(len(rows)), joint.ravel(), -joint.ravel()])
    one = np.concatenate([np.ones(9), np.zeros(9)])[None]
    found = linprog(1 - one[0], np.vstack([gains, around]), limits, one, [1.0])
    assert found.status == 0 and found.fun < 0.2


@pytest.mark.parametrize("name", MATRIX_GAMES)
def test_players_receive_the_expected_loss_of_each_action(name):
    """By enumeration of all combinations of actions, at random strategies."""
    losses = MATRIX_GAMES[name]()
    generator = torch.Generator().manual_seed(3)
    strategies = [torch.rand(size, generator=generator) for size in next(iter(losses.values())).shape]
    for player, table in enumerate(losses.values()):
        expected = torch.zeros(table.shape[player])
        for actions in itertools.product(*map(range, table.shape)):
            others = [float(strategies[each][a]) for each, a in enumerate(actions) if each != player]
            expected[actions[player]] += math.prod(others) * table[actions]
        torch.testing.assert_close(action_losses(strategies, table, player), expected)
        torch.testing.assert_close(expected_loss(*strategies, table=table), strategies[player] @ expected)


NASH = {
    "matching-pennies": [[0.5, 0.5], [0.5, 0.5]],
    "prisoners-dilemma": [[0.0, 1.0], [0.0, 1.0]],
    "chicken": [[1 / 3, 2 / 3], [1 / 3, 2 / 3]],
    "rock-paper-scissors": [[1 / 3] * 3] * 2,
    "shapley": [[1 / 3] * 3] * 2,
    "jordan": [[0.5, 0.5]] * 3,
}


@pytest.mark.parametrize("name", MATRIX_GAMES)
def test_the_nash_gap_is_zero_at_the_known_equilibrium_and_nowhere_near_it(name):
    losses = [each.double() for each in MATRIX_GAMES[name]().values()]
    rest = [torch.tensor(each, dtype=torch.float64) for each in NASH[name]]
    assert nash_gap(rest, losses) == pytest.approx(0, abs=1e-12)
    for player in range(len(rest)):
        moved = [each.clone() for each in rest]
        moved[player] = 0.9 * moved[player] + 0.1 * torch.eye(len(rest[player]), dtype=torch.float64)[0]
        assert nash_gap(moved, losses) > 0.005


def test_aumanns_correlated_equilibrium_of_chicken_is_one_and_half_of_it_is_not():
    losses = [each.double() for each in MATRIX_GAMES["chicken"]().values()]
    third = torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=torch.float64) / 3
    assert max(swap for _, swap in mean_regrets(third, losses)) == pytest.approx(0, abs=1e-12)
    quarter = torch.full((2, 2), 0.25, dtype=torch.float64)
    for joint in (third, quarter):
        swap, fixed = gaps(joint.numpy(), MATRIX_GAMES["chicken"]())
        assert max(each for _, each in mean_regrets(joint, losses)) == pytest.approx(swap, abs=1e-7)
        assert max(each for each, _ in mean_regrets(joint, losses)) == pytest.approx(fixed, abs=1e-7)
    assert swap > 0.01


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("simultaneous", 0.1, math.sqrt(1.01)),
        ("simultaneous", 0.5, math.sqrt(1.25)),
        ("extragradient", 0.1, 0.9950),
        ("extragradient", 0.5, 0.9014),
        ("optimistic", 0.1, 0.9949),
        ("optimistic", 0.5, 0.7071),
    ],
)
def test_the_factor_of_each_move_on_xy_is_that_of_theory(name, step, expected):
    found = distances(name, step, 200)
    assert fitted_factor(found) == pytest.approx(expected, abs=1e-4)
    assert fitted_factor(found) == pytest.approx(LEARNERS[name][2](step), abs=2e-5)
    if name != "optimistic":  # every move turns the point and scales it
        ratios = np.array(found[1:]) / np.array(found[:-1])
        np.testing.assert_allclose(ratios, LEARNERS[name][2](step), rtol=1e-12)


def test_optimistic_descent_follows_the_solution_of_its_recurrence():
    """z <- (1 - 2i eta) z + i eta z_before for z = x + iy, from 1 + i, with no gradient before the first."""
    for step in (0.1, 0.3, 0.6):
        roots = np.roots([1, -(1 - 2j * step), -1j * step])
        start = np.array([1 + 1j, (1 - 2j * step) * (1 + 1j)])
        weights = np.linalg.solve(np.array([[1, 1], roots]), start)
        expected = [abs(weights @ roots**move) for move in range(60)]
        np.testing.assert_allclose(distances("optimistic", step, 60), expected, rtol=1e-9)


def test_optimistic_descent_diverges_past_one_over_root_three():
    assert fitted_factor(distances("optimistic", 0.57, 200)) < 1 < fitted_factor(distances("optimistic", 0.59, 200))


def test_extragradient_players_that_are_not_in_step_hardly_come_nearer():
    """A wrong step: one of the two looks ahead while the other moves."""
    ahead = by_name("extragradient", lr=0.1)
    late = AgentSpecification.of(agent="extragradient", arguments={"lr": 0.1}, cadence=Cadence(1, 1))
    with InlineExecutor(assign(bilinear_game(), {"Min": ahead, "Max": late})) as play:
        found = [play.play(1).reports["Referee"]["distance"] for _ in range(400)][::2]
    assert (found[-1] / found[99]) ** (1 / 100) > 0.9990 > 0.9950


def test_cournot_firms_reach_the_known_equilibrium_and_report_regret_and_distance():
    grammar = CONVEX(game="cournot", firms=4, demand=3.0, start=0.0)
    with InlineExecutor(assign(grammar, by_name("projected-descent", domain="cube", radius=2.0))) as play:
        reports, states = play.play(1000).reports, play.states()
    for firm in range(1, 5):
        assert float(states[f"Firm{firm}"]["parameters"]["theta"]) == pytest.approx(2 / 5, abs=0.02)
        assert reports[f"Firm{firm}"]["regret"] <= reports[f"Firm{firm}"]["bound"]
    assert reports["Referee"]["distance"] < 0.05


@pytest.mark.parametrize("losses", ["coins", "leader", "heaviest"])
def test_what_nature_and_the_learner_report_is_one_regret(losses):
    with InlineExecutor(assign(played_against(losses, 5), by_name("hedge", horizon=300))) as play:
        reports = play.play(300).reports
    assert reports["Nature"]["regret"] == pytest.approx(reports["Player"]["regret"], abs=1e-6)
    assert reports["Nature"]["regret"] <= math.sqrt(300 * math.log(5) / 2) == pytest.approx(reports["Player"]["bound"])


def played_against(losses, actions: int) -> Grammar:
    return online_game(adversary(losses, actions), Factory.of(MixedStrategy, actions))


def test_each_unit_of_a_rectifier_network_keeps_its_regret_under_its_bound():
    """Plays and gradients of every unit come from its parameters and automatic differentiation, round by round."""
    rounds, radius, steepest = 40, 1.5, 10.0
    x, y = torch.randn(2, rounds, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = y[:, :1]
    layers = dense_layers((3,), [6, 4], 1)
    with in_double():
        grammar = in_float64(gated_game(arrays(x.float(), y.float(), batch=1, shuffle=False), layers))
        with InlineExecutor(assign(grammar, by_name("projected-descent", radius=radius, steepest=steepest))) as play:
            history, reports = [], {}
            for round in range(rounds):
                states = play.states()
                history.append(units_of(states, x[round].float().double(), y[round].float().double()))
                reports = play.play(1).reports
    for name in history[0]:
        w, g = (torch.stack([each[name][part] for each in history]) for part in (0, 1))
        active = int((g.norm(dim=1) > 0).sum())
        regret = float((w * g).sum() + radius * g.sum(0).norm())
        assert regret <= 1.5 * 2 * radius * max(float(g.norm(dim=1).max()), steepest) * math.sqrt(active)
        if active:
            assert reports[name]["regret"] == pytest.approx(regret, rel=1e-6, abs=1e-9)
            assert reports[name]["active_rounds"] == active
    assert sum(rounds / 10 < reports[name]["active_rounds"] < rounds for name in history[0]) >= 3


def units_of(states, x: Tensor, y: Tensor) -> Mapping[str, tuple[Tensor, Tensor]]:
    """The weights and gradients of each unit in a round, (inputs + 1,) each, by automatic differentiation."""
    names = [name for name in states if ".unit" in name or name == "Output"]
    own = {name: [each.clone().requires_grad_() for each in states[name]["parameters"].values()] for name in names}
    value = x
    for layer in ("Dense1", "Dense2"):
        units = [own[name] for name in names if name.startswith(layer)]
        value = torch.relu(torch.cat([weight.view(-1) @ value + bias for weight, bias in units]))
    weight, bias = own[next(name for name in names if name.startswith("Output"))]
    loss = (weight.view(-1) @ value + bias - y).square().mean()
    flat = [each for name in names for each in own[name]]
    slopes = iter(torch.autograd.grad(loss, flat))
    return {
        name: (
            torch.cat([each.detach().view(-1) for each in own[name]]),
            torch.cat([next(slopes).view(-1) for _ in own[name]]),
        )
        for name in names
    }


ORACLES = {
    "finite": finite_referee(MATRIX_GAMES["jordan"]()),
    "points": point_referee({"One": torch.zeros(2), "Two": torch.ones(3)}),
    **{losses: adversary(losses, 4) for losses in ("coins", "leader", "heaviest", "orthogonal")},
}


@pytest.mark.parametrize("name", ORACLES)
def test_referees_and_adversaries_keep_the_contract_of_oracles(name):
    check_oracle(ORACLES[name])


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: finite_game({}), GrammarError, "expected for each player a tensor"),
        (lambda: finite_game({"A": torch.ones(2, 3), "B": torch.ones(2, 2)}), GrammarError, r"\(2, 3\)"),
        (lambda: finite_game({"A": torch.ones(2)[None]}), GrammarError, "one dimension per player"),
        (lambda: finite_game({"A": torch.ones(2, dtype=torch.int64)}), GrammarError, "int64"),
        (lambda: convex_game({"A": Factory.of(MixedStrategy, 2)}, {"B": torch.sum}), GrammarError, "'B'.*'A'"),
        (lambda: adversary("orthogonal", 2), OracleError, "dimension 2; expected 3"),
        (lambda: MixedStrategy(0), AntiphonError, "actions"),
    ],
)
def test_a_game_that_cannot_be_is_refused(make, error, told):
    with pytest.raises(error, match=told):
        make()
