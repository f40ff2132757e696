"""Test the users' own agents (optimizers) before a run starts: each makes one update, which is thrown away."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch

from antiphon.agents.player import Player
from antiphon.agents.specification import AgentSpecification
from antiphon.grammars.grammar import Grammar


def preflight(grammar: Grammar, agents: Mapping[str, AgentSpecification], elsewhere: Collection[str] = ()) -> None:
    """Test every agent (optimizer) that a user wrote: give it one gradient, and let it update the parameters once.

    Without this test, a broken agent would stop the run only when learning starts, which may be late.
    elsewhere: players to leave out, because their agents need packages that are installed only on their workers.
    Raises ExperimentError if an agent is not found, AgentError if it raises or returns wrong parameters.
    """
    for player in grammar.query.players:
        specification = agents[player.name]
        if not specification.in_place and player.name not in elsewhere:
            tried = Player(player.name, player.factory, replace(specification, on_failure="fail"), seed=0)
            # Not zeros, because an agent may divide by the norm of the response.
            tried.hear([_response(parameter) for parameter in tried.parameters])
            tried.move(0)


def _response(parameter: torch.Tensor) -> torch.Tensor:
    """Return a test gradient for a parameter: numbers from -1 to 1, with the parameter's shape and dtype."""
    return torch.linspace(-1, 1, parameter.numel(), dtype=parameter.dtype).view(parameter.shape)
