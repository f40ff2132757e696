"""The cost of a check grows with the number of players, not with its square."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import antiphon
from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.mutants import flipped
from antiphon.checks.suite import Learning
from antiphon.grammars import Exact, Grammar, PlayerLoss, Port, promised


class Residual(nn.Module):
    """A layer whose gradient does not vanish in a long chain."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 2) -> (batch, 2)."""
        return x + 0.01 * self.inner(x)


def chain(players: int, losses: int = 1) -> Grammar:
    """Players in a row; their promises name so many distinct losses in turn."""
    q = antiphon.QueryDraft()
    draw = torch.Generator().manual_seed(0)
    x = q.oracle("Nature", antiphon.arrays(torch.randn(4, 2, generator=draw, dtype=torch.float64), batch=4))()
    h = x
    for number in range(players):
        h = q.player(f"P{number}", Residual)(h)
    loss = q.loss("Loss", F.mse_loss)(h, x)
    objective = antiphon.minimise(loss)
    own = [None if number == 0 else PlayerLoss.of(half_of, loss, number=number) for number in range(losses)]
    names = [f"P{number}" for number in range(players)]
    promises = [Exact(tuple(names[number::losses]), each) for number, each in enumerate(own)]
    return Grammar("chain", q.graph(), antiphon.chain_rule(q, objective), objective, promised(*promises))


def half_of(loss: Tensor, number: int) -> Tensor:
    """The loss, plus a constant: another loss with the same gradient."""
    return loss + number


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """How many values and parameters each backward pass through the whole of Q was asked for."""
    found: list[int] = []
    asked = torch.autograd.grad

    def grad(outputs, inputs, *arguments, **keywords):
        found.append(len(inputs))
        return asked(outputs, inputs, *arguments, **keywords)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    return found


@pytest.mark.parametrize("losses", [1, 3])
def test_the_reference_walks_q_once_for_each_distinct_loss(calls: list[int], losses: int):
    grammar = chain(30, losses)
    (round,) = Instance(grammar, 0, Learning()).places.rounds()
    calls.clear()
    own = {player.name: grammar.guarantee.loss_of(player.name) for player in grammar.query.players}
    for player, loss in own.items():
        assert any(bool(each.any()) for each in round.composed.gradient(player, loss))
    assert len(calls) == losses
    for node in grammar.query.nodes:
        for loss in own.values():
            round.composed.cotangents([Port(node.name)], loss)
    assert len(calls) == 2 * losses


def test_each_player_more_costs_a_check_the_same(calls: list[int]):
    def cost(players: int, broken: bool) -> int:
        grammar = chain(players)
        instance = Instance(flipped(grammar, Port("Loss *")) if broken else grammar, 0, Learning())
        calls.clear()
        found = [each for promise in grammar.guarantee.promises for each in measure(promise, instance)]
        assert len(found) == players
        assert not any(each.kept for each in found) if broken else all(each.kept for each in found)
        return len(calls)

    for broken in (False, True):
        few, more, most = (cost(players, broken) for players in (5, 10, 20))
        assert most - more == 2 * (more - few)


@pytest.mark.slow
def test_the_fault_of_a_long_chain_is_found_at_its_end():
    grammar = flipped(chain(1100), Port("Loss *"))
    instance = Instance(grammar, 0, Learning())
    found = measure(Exact(("P0",)), instance)
    assert [(each.kept, "sign" in each.detail or "-1" in each.detail) for each in found] == [(False, True)]
