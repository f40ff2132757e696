"""Players that move in one step of one optimizer have the bits, and the states, of players that move alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from antiphon.agents import AgentSpecification, Player
from antiphon.agents.joint import JointMove, joint_key
from antiphon.agents.optimizers import REFUSED_OPTIMIZERS
from antiphon.errors import AgentError, ProtocolError
from antiphon.grammars.factory import Factory
from antiphon.grammars.states import same_states

CLASSES = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in {"Optimizer", *REFUSED_OPTIMIZERS}
)
ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in CLASSES),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "fused": True}),
    ("Adam", {"amsgrad": True, "foreach": True}),
    ("AdamW", {"fused": False, "maximize": True}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adagrad", {"initial_accumulator_value": 0.1, "lr_decay": 0.1}),
    ("ASGD", {"t0": 1.0}),
]
SHAPES = ((3, 4), (17, 5), (1, 2))


def matrix(rows: int, columns: int) -> nn.Module:
    return nn.Linear(columns, rows, bias=False)


def players(specification: AgentSpecification, factory: Callable[..., nn.Module] = matrix) -> list[Player]:
    return [Player(f"P{shape}", Factory.of(factory, *shape), specification, 5) for shape in SHAPES]


def hear(group: list[Player], round: int) -> None:
    for player in group:
        generator = torch.Generator().manual_seed(round)
        player.hear([torch.randn(each.shape, generator=generator, dtype=each.dtype) for each in player.parameters])


def move_alone(group: list[Player], round: int) -> None:
    hear(group, round)
    for player in group:
        player.move(round)


def states(group: list[Player]) -> dict[str, Any]:
    return {player.name: player.state() for player in group}


@pytest.mark.parametrize(("optimizer", "arguments"), ARGUMENTS, ids=str)
def test_a_joint_move_is_the_moves_alone_bitwise_before_and_after_a_load(optimizer: str, arguments: dict[str, Any]):
    """One player is a step ahead, as after another cadence: its counts of steps are its own."""
    specification = AgentSpecification.of(optimizer, arguments)
    assert joint_key(specification) is not None
    ours, theirs = players(specification), players(specification)
    joint = JointMove(ours)
    for group in (ours, theirs):
        move_alone(group[:1], 50)
    saved = states(theirs)
    for round in range(6):
        joint.renew()
        assert joint._step is not None or round == 0  # then one has moved, and the others have not
        hear(ours, round)
        joint.move(round)
        move_alone(theirs, round)
        assert same_states(states(ours), states(theirs))
        if round == 2:
            saved = states(theirs)
        if round == 4:
            for player in (*ours, *theirs):
                player.load(saved[player.name])
    move_alone(ours, 7)
    move_alone(theirs, 7)
    assert same_states(states(ours), states(theirs))


def test_settings_that_differ_part_the_players_until_they_are_equal_again():
    slow, fast = (players(AgentSpecification.of("SGD", {"lr": lr, "momentum": 0.9})) for lr in (0.1, 0.5))
    for group in (slow, fast):
        move_alone(group, 0)
    other, equal = states(fast)[fast[1].name], states(slow)[slow[1].name]
    ours, theirs = (players(AgentSpecification.of("SGD", {"lr": 0.1, "momentum": 0.9})) for _ in range(2))
    joint = JointMove(ours)
    for round, state in enumerate([equal, other, equal]):
        ours[1].load(state)
        theirs[1].load(state)
        joint.renew()
        hear(ours, round)
        joint.move(round)
        move_alone(theirs, round)
        assert same_states(states(ours), states(theirs))


def test_hooks_of_every_optimizer_are_called_for_each_player():
    group, seen = players(AgentSpecification.of("Adam")), []
    joint = JointMove(group)
    joint.renew()
    handle = register_optimizer_step_post_hook(lambda optimizer, *_: seen.append(optimizer))
    try:
        hear(group, 0)
        joint.move(0)
    finally:
        handle.remove()
    assert [len(each.param_groups[0]["params"]) for each in seen] == [1, 1, 1]


@pytest.mark.parametrize(
    "options",
    [{"clip_norm": 1.0}, {"clip_value": 1.0}, {"scheduler": "ExponentialLR", "scheduler_arguments": {"gamma": 0.9}}],
    ids=str,
)
def test_an_agent_that_clips_or_follows_a_schedule_moves_alone(options: dict[str, Any]):
    assert joint_key(AgentSpecification.of("SGD", **options)) is None


def test_errors_name_a_player():
    group = players(AgentSpecification.of("SGD"))
    joint = JointMove(group)
    joint.renew()
    hear(group[:2], 3)
    with pytest.raises(ProtocolError, match=r"player 'P\(1, 2\)' was to move in round 3.*no response"):
        joint.move(3)
    hear(group, 4)
    group[0].parameters[0].data = torch.zeros(2, 2)
    with pytest.raises(AgentError, match=r"player 'P\(3, 4\)' raised RuntimeError in move in round 4"):
        joint.move(4)
