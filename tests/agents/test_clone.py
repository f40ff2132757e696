"""Clone: a copy that moves only when asked to, a fraction of the way or all of it."""

import torch
from torch import nn

from antiphon.agents import AgentSpecification, Clone, Player
from antiphon.grammars.factory import Factory


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def moved(player: Player) -> None:
    player.hear([torch.ones_like(parameter) for parameter in player.parameters])
    player.move(0)
    player.module(torch.arange(12.0).view(4, 3))  # moves the running statistics


def critic() -> Player:
    return Player("critic", Factory.of(normed), AgentSpecification.of("SGD", {"lr": 1.0}), seed=0)


def equal(one: nn.Module, other: nn.Module) -> bool:
    these, those = one.state_dict(), other.state_dict()
    return these.keys() == those.keys() and all(torch.equal(these[name], those[name]) for name in these)


def test_stays_until_it_follows():
    player = critic()
    clone = Clone(player)
    before = Clone(player)
    assert equal(clone.module, player.module)
    moved(player)
    assert equal(clone.module, before.module) and not equal(clone.module, player.module)
    clone.follow()
    assert equal(clone.module, player.module)
    assert not any(parameter.requires_grad for parameter in clone.module.parameters())
    assert all(parameter.requires_grad for parameter in player.parameters)


def test_softly_goes_a_fraction_of_the_way_and_copies_buffers():
    player = critic()
    clone = Clone(player, soft=0.25)
    start = [parameter.clone() for parameter in clone.module.parameters()]
    moved(player)
    clone.follow()
    expected = [old + 0.25 * (new - old) for old, new in zip(start, player.parameters, strict=True)]
    for found, wanted in zip(clone.module.parameters(), expected, strict=True):
        torch.testing.assert_close(found, wanted.detach())
    assert all(map(torch.equal, clone.module.buffers(), player.module.buffers()))


def test_continues_exactly_from_its_state():
    player = critic()
    clone = Clone(player, soft=0.1)
    moved(player)
    for _ in range(3):
        clone.follow()
    resumed = Clone(player, soft=0.1)
    resumed.load(clone.state())
    assert equal(resumed.module, clone.module)
    moved(player)
    clone.follow()
    resumed.follow()
    assert equal(resumed.module, clone.module) and resumed.follows == clone.follows == 4
