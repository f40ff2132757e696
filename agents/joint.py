"""One optimizer step for several players whose agents are the same optimizer of torch, with equal settings."""

from collections.abc import Callable, Hashable, Sequence
from typing import final

from antiphon.agents.host import AgentHost
from antiphon.agents.player import Player
from antiphon.agents.shards import is_sharded
from antiphon.agents.specification import AgentSpecification
from antiphon.agents.torch_agent import TorchAgent
from antiphon.grammars.oracle import State


def joint_key(specification: AgentSpecification) -> Hashable:
    """Return a key that is equal for agents that can move in one step: the optimizer of torch and its arguments.

    Returns None for an agent that must move alone: a custom agent, or an agent with clipping or a scheduler.
    """
    extras = specification.clip_norm, specification.clip_value, specification.scheduler
    alone = not specification.in_place or any(each is not None for each in extras)
    return None if alone else (specification.optimizer, specification.arguments)


@final
class JointMove:
    """Moves several players with one step of one optimizer. The new parameters have the bits of separate moves.

    Each optimizer step has an overhead. For small players, this overhead takes longer than the arithmetic. Each player
    keeps its own agent, with its own state and settings. The players move one by one while the settings of two agents
    differ, or while only some players have moved before. All players must have the same `joint_key`.
    """

    def __init__(self, players: Sequence[Player]) -> None:
        self._players, self._hosts = tuple(players), list[AgentHost]()
        self._agents: list[TorchAgent] = []
        self._settings: list[State] = []
        self._step: Callable[[], object] | None = None

    def renew(self) -> None:
        """Join the agents again if they or their settings have changed, for example because a state was loaded."""
        self._hosts = [player.host for player in self._players if player.host is not None]
        agents = [host.agent for host in self._hosts if isinstance(host.agent, TorchAgent)]
        settings = [agent.settings for agent in agents]
        if self._step is not None and agents == self._agents and settings == self._settings:
            return
        self._agents, self._settings = agents, settings
        sharded = any(is_sharded(each) for player in self._players for each in player.parameters)
        self._step = None if sharded or len(agents) < len(self._players) else TorchAgent.joint_move(agents)

    def move(self, round: int) -> str:
        """Move all players. Return "", because no move is left out.

        Raises what `Player.move` raises. An error of the joint step names the first player.
        """
        if self._step is None:
            for player in self._players:
                player.move(round)
            return ""
        first, *_ = self._hosts
        for host in self._hosts:
            host.begin_move(round)
        first.ask("move", "the new parameters", self._step, round=round)
        for player in self._players:
            player.moves += 1
        return ""
