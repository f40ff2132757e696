"""A rehearsal of strangers: before anything starts, each custom agent moves once, on parameters that nobody keeps."""

from collections.abc import Mapping

import torch

from antiphon.agents.player import Player
from antiphon.agents.specification import AgentSpecification
from antiphon.grammars.grammar import Grammar


def rehearse(grammar: Grammar, agents: Mapping[str, AgentSpecification]) -> None:
    """Let every agent that is not antiphon's own hear zeros and move.

    Raises ExperimentError for one that is not found, AgentError for one that raises or plays something else than its
    parameters. Grammars whose learning starts late would find out only then.
    """
    for player in grammar.query.players:
        specification = agents[player.name]
        if not specification.in_place:
            rehearsed = Player(player.name, player.factory, specification, seed=0)
            rehearsed.hear([torch.zeros_like(parameter) for parameter in rehearsed.parameters])
            rehearsed.move(0)
