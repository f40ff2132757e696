"""Where an agent lives: it is handed what it may have, its moves are checked, its exceptions carry its name."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.agents.layout import Layout, laid_out, strides_of_gradient
from antiphon.agents.specification import AgentSpecification
from antiphon.errors import AgentError, ProtocolError
from antiphon.grammars.oracle import State
from antiphon.grammars.states import map_tensors


@final
class AgentHost:
    """The agent of `player` for the named parameters, on the player's worker or on another one.

    in_place: lend the agent the parameters and the responses themselves (for the torch agent, which is trusted to touch
    nothing else), instead of copies. Equal responses make equal moves either way.
    Raises ExperimentError or AgentError as `AgentSpecification.make` does.
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
        self._heard = 0
        self._build([parameter for _, parameter in named])

    def hear(self, response: Sequence[Tensor] | Tensor) -> None:
        """Hand on a response: one tensor per parameter, or one flat vector of all; several before a move add up.

        Raises ShapeError when the response does not fit, AgentError when the agent raises.
        """
        lent = self._lent(self._layout.response(response))
        self._ask("hear", "it to take every response of its parameters' shapes", lambda: self._agent.hear(lent))
        self._heard += 1

    def move(self, round: int) -> Sequence[Tensor]:
        """The new parameters, checked; the memory is the agent's, to be copied or sent before its next move.

        Raises ProtocolError when nothing was heard since the last move, AgentError when the agent raises or plays
        something else than its parameters; NaN and infinities too, of an agent that is not antiphon's own.
        """
        if not self._heard:
            raise ProtocolError(
                f"player {self.player!r} was to move in round {round}, but heard no response since its last move; "
                "expected at least one. Deliver its response first, or leave the move to a round of its cadence."
            )
        self._heard = 0
        moved = self._ask(f"move in round {round}", "the new parameters", self._agent.move)
        found = None if self.in_place else self._layout.mismatch(moved)
        if found is not None:
            raise AgentError(
                f"agent {self.specification.agent!r} of player {self.player!r} moved in round {round}: "
                f"expected {found[0]}, and {found[1]} arrived. "
                "Return the new parameters as they were lent: in number, order, shape and dtype."
            )
        wild = None if self.specification.in_place else self._layout.wild(moved)
        if wild is not None:
            raise AgentError(
                f"agent {self.specification.agent!r} of player {self.player!r} moved in round {round}: "
                f"expected finite numbers, and NaN or infinity arrived for parameter {wild!r}. "
                "Correct the agent; or let it take smaller steps, if what it heard was not finite either."
            )
        return moved

    def recover(self, parameters: Sequence[Tensor]) -> None:
        """Go on after a move that failed, from `parameters`: with an agent built anew where the policy is "restart",
        else with the same one, whatever the failure left in it; what it was lent is set back.

        Raises AgentError when the agent cannot be built any more.
        """
        self._heard = 0
        if self.specification.on_failure == "restart":
            self._build(parameters)
            return
        with torch.no_grad():
            for lent, parameter in zip(self._parameters, parameters, strict=True):
                lent.copy_(parameter)

    def state(self) -> State:
        """The agent's own state, without the parameters.

        Raises ProtocolError between a response and its move, AgentError when the agent raises.
        """
        if self._heard:
            raise ProtocolError(
                f"player {self.player!r} was to be saved with {self._heard} responses heard and no move made; "
                "expected a cut between rounds. Save after the move, and deliver nothing off the player's cadence."
            )
        return self._ask("state", "its state", self._agent.state)

    def load(self, state: State, parameters: Sequence[Tensor]) -> None:
        """Build the agent anew on `parameters`, as they were when `state` was taken, and let it continue from there.

        A state may come from another device: what looks like parameters in it is handed on where the parameters are.
        """
        self._build(parameters)
        state = map_tensors(state, functools.partial(_beside, parameters[0].device))
        self._heard = 0
        self._ask("load", "it to continue from a state of its own", lambda: self._agent.load(state))

    def _build(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = tuple(self._lent(parameters))
        self._agent = self.specification.make(self.player, list(self._parameters))

    def _lent(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """One tensor per parameter, as an agent may have it: a copy, in memory as its gradient would be."""
        if self.in_place:
            return tensors
        return [laid_out(each.detach(), own).clone() for each, own in zip(tensors, self._strides, strict=True)]

    def _ask(self, method: str, expected: str, call: Callable[[], Any]) -> Any:
        """What the agent answers to `call`. Any: methods differ in what they return."""
        try:
            return call()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a stranger's code may raise anything, or exit
            raise AgentError(
                f"agent {self.specification.agent!r} of player {self.player!r} raised {type(error).__name__} in "
                f"{method}: {error}. Expected {expected}. "
                f"Correct the agent, or its arguments ({self.specification.description})."
            ) from error


def _beside(device: torch.device, tensor: Tensor) -> Tensor:
    # Numbers alone and integers stay: counts of steps, and the states of generators, which torch takes on the CPU only.
    return tensor.to(device) if tensor.dim() and tensor.is_floating_point() else tensor
