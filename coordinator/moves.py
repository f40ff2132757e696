"""Joins moves of players on one worker: successive moves with equal optimizers become one optimizer step."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from antiphon.agents.joint import JointMove, joint_key
from antiphon.agents.player import Player
from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.plan.steps import LocalAction, Move

MovePlayer: TypeAlias = Callable[[int], str]
"""Moves a player in a round. Returns "", or the reason why the move was left out."""


def moves_of(
    actions: Sequence[LocalAction], agents: Mapping[str, AgentSpecification], agent_of: Callable[[str], Player]
) -> tuple[dict[str, MovePlayer], list[JointMove]]:
    """Return a function that moves each player of a worker, by player, and the joint moves among these functions.

    actions: the actions of the worker, in order. agents: the specification of each player's agent. agent_of: returns a
    player of this worker with its agent. Moves that directly follow one another in the same rounds are joined, if
    their agents allow it: the function of the first player moves all of them, and the others do nothing.
    """

    def key(action: LocalAction) -> Hashable:
        own = joint_key(agents[action.player]) if isinstance(action, Move) else None
        return own and (own, action.when)

    found: dict[str, MovePlayer] = {}
    joints: list[JointMove] = []
    for common, group in groupby(actions, key):
        players = [agent_of(action.player) for action in group if isinstance(action, Move)]
        found.update({player.name: player.move for player in players})
        if common is not None and len(players) > 1:
            joints.append(JointMove(players))
            found.update({player.name: _nothing for player in players})
            found[players[0].name] = joints[-1].move
    return found, joints


def _nothing(round: int) -> str:
    return ""
