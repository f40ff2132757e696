"""Gradients that autograd lays out in many ways: a local agent, a remote one and plain PyTorch play one game."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from antiphon.agents import AgentSpecification, Player
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.grammars.seeds import stream
from rigs.games import odd_layouts

ROUNDS, SEED = 12, 3


def played(specification: AgentSpecification, agents: Mapping[str, str]) -> dict[str, Tensor]:
    grammar = odd_layouts()
    with InlineExecutor(
        assign(grammar, specification, placement=spread(grammar, agents=dict(agents)), seed=SEED)
    ) as run:
        run.play(ROUNDS)
        states = run.states()
    return {
        f"{name}.{key}": value
        for name in ("Odd", "Last")
        for key, value in states[name]["parameters"].items()
    }  # fmt: skip


def by_torch(optimizer: str, arguments: dict[str, object]) -> dict[str, Tensor]:
    query = odd_layouts().query
    points = query.oracles[0].declaration.make(stream(SEED, "oracle", query.oracles[0].name))
    modules = {each.name: Player(each.name, each.factory, None, stream(SEED, "player", each.name)).module
               for each in query.players}  # fmt: skip
    moves = [getattr(torch.optim, optimizer)(module.parameters(), **arguments) for module in modules.values()]
    for round in range(ROUNDS):
        x, y = points.answer("sample", (), round)
        loss = cross_entropy(modules["Last"](modules["Odd"](x)), y)
        for move in moves:
            move.zero_grad()
        loss.backward()
        for move in moves:
            move.step()
    return {f"{name}.{key}": value for name, module in modules.items() for key, value in module.named_parameters()}


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "Adagrad"])
def test_local_and_remote_agents_move_as_torch_does(optimizer):
    specification = AgentSpecification.of(optimizer, {"lr": 0.1})
    local, remote = played(specification, {}), played(specification, {"Odd": "far", "Last": "far"})
    expected = by_torch(optimizer, {"lr": 0.1, "fused": True})
    assert local.keys() == remote.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(local[name], remote[name]), name
        assert torch.allclose(local[name], value, rtol=1e-3, atol=1e-4), name
