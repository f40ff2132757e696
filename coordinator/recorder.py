"""An agent that never changes parameters and keeps its responses, so that a test can read what was delivered."""

from collections.abc import Sequence
from typing import final

from torch import Tensor

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.executor import Executor
from antiphon.grammars.oracle import State


@final
class Recorder:
    """An agent that never changes its player's parameters, and keeps the sum of the responses before its last move."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._arriving: list[Tensor] = []
        self._heard: list[Tensor] = []

    def hear(self, response: Sequence[Tensor]) -> None:
        """Add a response to the sum of the responses since the last move. response: one tensor per parameter."""
        new = [each.clone() for each in response]
        pairs = zip(self._arriving, new, strict=True)
        self._arriving = [one + two for one, two in pairs] if self._arriving else new

    def move(self) -> Sequence[Tensor]:
        """Return the parameters unchanged. The sum of the responses since the last move becomes the state."""
        self._heard, self._arriving = self._arriving, []
        return self._parameters

    def state(self) -> State:
        """Return the sum of the responses before the last move, one tensor per parameter; empty before any move."""
        return {"heard": [each.clone() for each in self._heard]}

    def load(self, state: State) -> None:
        """Restore a state that `state` returned."""
        self._heard = [each.clone() for each in state["heard"]]


RECORDER = AgentSpecification(agent="antiphon.coordinator.recorder:Recorder")
"""The specification of the agent `Recorder`. Give it to every player, play rounds, and call `delivered`."""


def delivered(executor: Executor) -> dict[str, list[Tensor]]:
    """Return for each player the sum of the responses that it got before its last move, one tensor per parameter.

    The agent of every player must be a `Recorder`.
    """
    states = executor.states()
    players = [player.name for player in executor.assignment.grammar.query.players]
    # An agent on another worker than its player's operator has a state of its own.
    return {name: states.get(f"{name}@agent", states[name])["agent"]["heard"] for name in players}
