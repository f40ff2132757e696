"""A rehearsal of strangers: before anything starts, each custom agent moves once, on parameters that nobody keeps."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch

from antiphon.agents.player import Player
from antiphon.agents.specification import AgentSpecification
from antiphon.grammars.grammar import Grammar


def rehearse(grammar: Grammar, agents: Mapping[str, AgentSpecification], elsewhere: Collection[str] = ()) -> None:
    """Let every agent that is not antiphon's own hear one response and move, whatever its policy is on failures.

    Raises ExperimentError for one that is not found, AgentError for one that raises or plays something else than its
    parameters. Grammars whose learning starts late would find out only then.
    elsewhere: players whose agents have packages of their own where they will live: they cannot be rehearsed here.
    """
    for player in grammar.query.players:
        specification = agents[player.name]
        if not specification.in_place and player.name not in elsewhere:
            rehearsed = Player(player.name, player.factory, replace(specification, on_failure="fail"), seed=0)
            # Not zeros: who divides by the length of a response would be refused for it.
            rehearsed.hear([_response(parameter) for parameter in rehearsed.parameters])
            rehearsed.move(0)


def _response(parameter: torch.Tensor) -> torch.Tensor:
    """Numbers from -1 to 1, in the shape and dtype of a parameter."""
    return torch.linspace(-1, 1, parameter.numel(), dtype=parameter.dtype).view(parameter.shape)
