"""The host of an agent: it passes responses to the agent, checks its moves, and names the agent in errors."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.agents.layout import Layout, laid_out, strides_of_gradient
from antiphon.agents.patience import Patience
from antiphon.agents.specification import AgentSpecification
from antiphon.errors import AgentError, ProtocolError, unstopped
from antiphon.grammars.oracle import State
from antiphon.grammars.states import map_tensors


@final
class AgentHost:
    """Runs the agent of `player`, on the worker of the player or on another worker.

    named: pairs of the name of a parameter and the parameter.
    in_place: give the agent the parameters and responses themselves instead of copies of them. Only the torch agent
    gets them, because it is trusted to change nothing else. The moves are the same either way.
    Raises ExperimentError when the agent is not found, AgentError when it cannot be built or lacks a method.
    """

    def __init__(
        self,
        player: str,
        specification: AgentSpecification,
        named: Iterable[tuple[str, Tensor]],
        in_place: bool = False,
    ) -> None:
        named = tuple(named)
        self.player, self.specification, self.in_place = player, specification, in_place
        self._layout = Layout(player, named)
        self._strides = tuple(strides_of_gradient(parameter) for _, parameter in named)
        self._heard, self._is_torchs = 0, specification.in_place
        self._patience: Patience | None = None
        self._build([parameter for _, parameter in named])

    def hear(self, response: Sequence[Tensor] | Tensor) -> None:
        """Pass a response to the agent. Several responses before a move add up.

        response: one tensor per parameter, or one flat vector of all parameters in order.
        Raises ShapeError when the response does not fit, AgentError when the agent raises.
        """
        lent = self._lent(self._layout.response(response))
        self.ask("hear", "it to take every response of its parameters' shapes", self.agent.hear, lent)
        self._heard += 1

    def move(self, round: int) -> Sequence[Tensor]:
        """Let the agent move, check the new parameters and return them.

        The memory of the result belongs to the agent: copy or send it before the next move.
        Raises ProtocolError if no response came since the last move. Raises AgentError if the agent raises or returns
        tensors that do not fit; for other agents than "torch" also if they contain NaN or infinity.
        """
        self.begin_move(round)
        moved = self.ask("move", "the new parameters", self.agent.move, round=round)
        found = None if self.in_place else self._layout.mismatch(moved)
        if found is not None:
            raise AgentError(
                f"agent {self.specification.agent!r} of player {self.player!r} moved in round {round}: "
                f"expected {found[0]}, and {found[1]} arrived. "
                "Return the new parameters as they were lent: in number, order, shape and dtype."
            )
        infinite = None if self.specification.in_place else self._layout.not_finite(moved)
        if infinite is not None:
            raise AgentError(
                f"agent {self.specification.agent!r} of player {self.player!r} moved in round {round}: "
                f"expected finite numbers, and NaN or infinity arrived for parameter {infinite!r}. "
                "Correct the agent; or let it take smaller steps, if its responses were not finite either."
            )
        return moved

    def begin_move(self, round: int) -> None:
        """Count the responses from zero again. Raises ProtocolError if no response came since the last move."""
        if not self._heard:
            raise ProtocolError(
                f"player {self.player!r} was to move in round {round}, but received no response since its last move; "
                "expected at least one. Deliver its response first, or leave the move to a round of its cadence."
            )
        self._heard = 0

    def recover(self, parameters: Sequence[Tensor]) -> None:
        """Continue from `parameters` after a failed move.

        With the policy "restart", a new agent is built. Otherwise the agent keeps the state that the failure left, and
        its copies of the parameters are set back. Raises AgentError if the new agent cannot be built.
        """
        self._heard = 0
        if self.specification.on_failure == "restart":
            self._build(parameters)
            return
        with torch.no_grad():
            for lent, parameter in zip(self._parameters, parameters, strict=True):
                lent.copy_(parameter)

    def report(self) -> Mapping[str, float]:
        """Return the numbers that the agent reports, such as its regret; none if it has no method `report`.

        Raises AgentError when the agent raises, or returns anything else than numbers by name.
        """
        if not hasattr(self.agent, "report"):
            return {}
        return self.ask("report", "numbers by name", functools.partial(_numbers, self.agent))

    def state(self) -> State:
        """Return the state of the agent, without the parameters.

        Raises ProtocolError between a response and its move, AgentError when the agent raises.
        """
        if self._heard:
            raise ProtocolError(
                f"player {self.player!r} was to be saved with {self._heard} responses received and no move made; "
                "expected a cut between rounds. Save after the move, and deliver nothing off the player's cadence."
            )
        return self.ask("state", "its state", self.agent.state)

    def load(self, state: State, parameters: Sequence[Tensor]) -> None:
        """Build a new agent for `parameters`, and let it continue from a saved state.

        parameters: the player's parameters, with the values they had when `state` was saved. The state may come from
        another device: its floating tensors with at least one dimension are moved to the device of the parameters.
        """
        self._build(parameters)
        state = map_tensors(state, functools.partial(_beside, parameters[0].device))
        self._heard = 0
        self.ask("load", "it to continue from a state of its own", self.agent.load, state)

    def _build(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = tuple(self._lent(parameters))
        # Each agent gets a new `Patience`, because a call of an earlier agent may still hang.
        self._patience = Patience(self.specification.patience) if self.specification.patience is not None else None
        with torch.enable_grad():  # also after a failure within a round
            self.agent = self.specification.make(self.player, list(self._parameters))

    def _lent(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the tensors for the agent: copies with the strides of the gradients, or the tensors if `in_place`."""
        if self.in_place:
            return tensors
        return [laid_out(each.detach(), own).clone() for each, own in zip(tensors, self._strides, strict=True)]

    def ask(
        self, method: str, expected: str, call: Callable[..., Any], *arguments: object, round: int | None = None
    ) -> Any:  # Any: methods return different types
        """Return `call(*arguments)`, the result of a method of the agent. An exception becomes an AgentError."""
        try:
            if self._is_torchs:
                return call(*arguments)
            if self._patience is not None:
                return self._patience.call(call, *arguments)  # a new thread records gradients
            with torch.enable_grad():  # a round records nothing
                return call(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # code of a user may raise anything, or exit, or hang
            where = method if round is None else f"{method} in round {round}"
            raise AgentError(
                f"agent {self.specification.agent!r} of player {self.player!r} raised {type(error).__name__} in "
                f"{where}: {unstopped(error)}. Expected {expected}. "
                f"Correct the agent, or its arguments ({self.specification.description})."
            ) from error


def _numbers(agent: Any) -> dict[str, float]:  # Any: code of a user
    return {str(key): float(each) for key, each in agent.report().items()}


def _beside(device: torch.device, tensor: Tensor) -> Tensor:
    # 0-d and integer tensors stay on the CPU: step counts, and generator states, which torch accepts only there.
    return tensor.to(device) if tensor.dim() and tensor.is_floating_point() else tensor
