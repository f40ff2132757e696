"""What an agent is handed leads to nobody's parameters: isolation of interface; the process is shared."""

import gc
import types
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents import AgentSpecification, Player
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.grammars.factory import Factory
from rigs.games import wide

HANDED: list[object] = []
"""Everything that agents were handed, by construction, by `hear` and by `load`."""


class Spy:
    """Keeps what it is handed, and moves a little."""

    def __init__(self, parameters: Sequence[Tensor], **arguments: Any) -> None:
        self.parameters = parameters
        HANDED.extend([parameters, arguments])

    def hear(self, response: Sequence[Tensor]) -> None:
        HANDED.append(response)

    def move(self) -> Sequence[Tensor]:
        return [parameter * 0.99 for parameter in self.parameters]

    def state(self) -> dict[str, Any]:
        return {"seen": [parameter.clone() for parameter in self.parameters]}

    def load(self, state: dict[str, Any]) -> None:
        HANDED.append(state)


def reached(roots: Iterable[object]) -> list[object]:
    """Everything that the garbage collector or torch sees behind `roots`.

    Types, modules and a module's globals are not followed: who imports them can reach the whole process anyway.
    """
    found: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if id(each) in found or isinstance(each, type | types.ModuleType) or _are_globals(each):
            continue
        found[id(each)] = each
        waiting.extend(gc.get_referents(each))
        if isinstance(each, Tensor):
            waiting.extend(filter(lambda lead: lead is not None, (each.grad, each._base, each.grad_fn)))
    return list(found.values())


def _are_globals(value: object) -> bool:
    return isinstance(value, dict) and "__builtins__" in value


def memory(tensors: Iterable[object]) -> set[int]:
    return {each.untyped_storage().data_ptr() for each in tensors if isinstance(each, Tensor) and each.numel()}


@pytest.fixture(params=["beside", "apart"])
def played(request):
    """A game in one process in which every player has a spy, with its stages, after some rounds and a load."""
    HANDED.clear()
    grammar = wide()
    names = [player.name for player in grammar.query.players]
    apart = {name: f"{name}'s agent" for name in names} if request.param == "apart" else {}
    spies = AgentSpecification.of(agent=f"{__name__}:Spy", arguments={"rate": 0.1})
    with InlineExecutor(assign(grammar, spies, placement=spread(grammar, agents=apart))) as executor:
        executor.play(3)
        executor.load(executor.states(), executor.round)
        executor.play(1)
        yield list(executor._hosted.values())
    HANDED.clear()


def test_nothing_that_is_handed_to_an_agent_leads_to_any_players_parameters(played):
    found = reached(HANDED)
    owners = [owner for stage in played for owner in (*stage.players.values(), *stage.agents.values())]
    owned = [tensor for owner in owners for tensor in owner.module.state_dict(keep_vars=True).values()]
    assert len(HANDED) >= 5 * sum(len(stage.players) for stage in played)
    assert not {id(each) for each in found} & {id(tensor) for tensor in owned}
    assert not memory(found) & memory(owned)
    assert [each for each in found if isinstance(each, Player | Hosted | nn.Module)] == []
    assert all(not each.requires_grad for each in found if isinstance(each, Tensor))


def test_no_two_players_are_handed_the_same_memory(played):
    parameters = [each for each in HANDED if isinstance(each, Sequence)]
    for index, one in enumerate(parameters):
        for other in parameters[index + 1 :]:
            assert not memory(one) & memory(other)


def test_a_lead_would_be_found():
    player = Player("x", Factory.of(nn.Linear, 3, 2), None, seed=0)
    planted: Any = torch.zeros(1)  # Any: tensors have no such attribute
    planted.owner = [lambda: player]
    assert player in reached([planted]) and player.parameters[0] in _by_identity(reached([planted]))
    view = player.parameters[0].detach()[0]
    assert memory(reached([[view]])) == memory([player.parameters[0]])


class _by_identity(list):
    """A list that compares by identity, as tensors compare by value."""

    def __contains__(self, value: object) -> bool:
        return any(each is value for each in self)
