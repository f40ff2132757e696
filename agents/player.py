"""A player on its worker: a module, made with the player's own seed, and the agent that updates the module's
parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from antiphon.agents.host import AgentHost
from antiphon.agents.layout import Layout
from antiphon.agents.shards import in_parts, part, refuse_agent, shard, whole
from antiphon.agents.specification import AgentSpecification
from antiphon.errors import FOREIGN, AgentError, AntiphonError, GrammarError, ProtocolError, unstopped
from antiphon.grammars.factory import Factory
from antiphon.grammars.finite import has_no_nan
from antiphon.grammars.module_state import load_module, module_state
from antiphon.grammars.oracle import State
from antiphon.grammars.seeds import forked


@final
class Player:
    """Hosts the player `name`: its module and, usually, its agent. Equal factories and seeds make bitwise equal
    parameters, in any process.

    specification: the description of the player's agent (optimizer); None if the agent is on another worker, in an
    `AgentHost`. The parameters that such an agent returns are passed to `install`. The torch agent updates the
    parameters of the module in place; other agents get copies. device: the device of the parameters, buffers and agent
    state; None is the CPU. The module is made on the CPU and then moved, so equal seeds make equal numbers on every
    device. Raises GrammarError for a factory that makes no
    module, or a module without a parameter that requires a gradient.
    """

    def __init__(
        self,
        name: str,
        factory: Factory,
        specification: AgentSpecification | None,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self.name, self.specification, self._factory, self._seed = name, specification, factory, seed
        self.module = _make(name, factory, seed)
        if device is not None:
            self.module.to(device)
        self.named = tuple((key, value) for key, value in self.module.named_parameters() if value.requires_grad)
        self.parameters = tuple(parameter for _, parameter in self.named)
        self.moves = 0
        self._failure: AgentError | None = None
        if not self.parameters:
            raise GrammarError(
                f"player {name!r} made by {factory} has no parameter that requires a gradient; expected at least one. "
                "Declare what never moves as an operator or an oracle."
            )
        self._refuse_nan()
        self._layout = Layout(name, self.named)
        self.host = AgentHost(name, specification, self.named, specification.in_place) if specification else None

    def _refuse_nan(self) -> None:
        wrong = next((name for name, value in self.named if not has_no_nan(value.detach())), None)
        if wrong is not None:
            raise GrammarError(
                f"player {self.name!r} made by {self._factory} has NaN in its parameter {wrong!r}; expected numbers. "
                "Initialise it in the module's constructor: torch.empty does not."
            )

    def hear(self, response: Sequence[Tensor] | Tensor) -> None:
        """Pass a response (a gradient of the parameters) to the player's agent. Several responses before a move add up.

        response: one tensor per parameter, or one flat vector of all parameters in order. The torch agent keeps the
        tensors until the move, without a copy, and does not change them.
        Raises ShapeError that names the player, the parameter and both types. Raises AgentError when the agent raises;
        with the policy "skip" or "restart" the next move is left out instead.
        """
        try:
            self._hosted().hear(response)
        except AgentError as error:
            if self._fails:
                raise
            self._failure = error

    def move(self, round: int) -> str:
        """Let the agent compute new parameters (a move), and copy them into the module. Returns "", or the reason why
        the move was left out.

        Raises ProtocolError if no response came since the last move. Raises AgentError if the agent raises or returns
        tensors that do not fit; an agent that works on copies has then changed no parameter of the module. With the
        policy "skip" or "restart", the text of this AgentError is returned instead, and the parameters stay.
        """
        agent, failure = self._hosted(), self._failure
        self._failure = None
        try:
            if failure is not None:
                raise failure
            moved = agent.move(round)
        except AgentError as error:
            if self._fails:
                raise
            agent.recover(self.parameters)
            self.moves += 1
            return str(error)
        if not agent.in_place:
            _copy_into(self.parameters, moved)
        self.moves += 1
        return ""

    def not_finite(self) -> str | None:
        """Return the name of the first parameter that holds NaN or infinity but did not at the start; else None."""
        return self._layout.not_finite([*map(part, self.parameters)])

    def clip(self) -> None:
        """Replace NaN in the parameters by 0 and infinity by the nearest finite number, in place."""
        with torch.no_grad():
            self._layout.clip([*map(part, self.parameters)])

    def install(self, moved: Sequence[Tensor] | Tensor) -> None:
        """Copy new parameters, which an agent on another worker computed, into the module.

        moved: one tensor per parameter, or one flat vector. Raises ShapeError if they do not fit; the module is then
        unchanged.
        """
        _copy_into(self.parameters, self._layout.response(moved))
        self.moves += 1

    def shard(self, mesh: DeviceMesh) -> None:
        """Keep only the local shard of each parameter and of the agent state.

        All workers of this player must call it together (a collective operation).
        Raises PlacementError for an agent that needs whole parameters.
        """
        assert self.specification is not None  # `refuse_unshardable` refuses an agent on another worker
        refuse_agent(self.name, self.specification.agent, self.specification.optimizer)
        shard(self.module, mesh)
        self.named = tuple((key, value) for key, value in self.module.named_parameters() if value.requires_grad)
        self.parameters = tuple(parameter for _, parameter in self.named)
        self._layout = Layout(self.name, self.named)
        self.host = AgentHost(self.name, self.specification, self.named, self.specification.in_place)

    def state(self) -> State:
        """Return copies of the states of the module and the agent, and the number of moves.

        The number includes moves that were left out.
        Raises ProtocolError between a response and its move, GrammarError when the module raises.
        """
        own = {"agent": self.host.state() if self.host else None, "moves": self.moves}
        return {**self._asked("state_dict", lambda: module_state(self.module, whole)), **own}

    def load(self, state: State) -> None:
        """Continue exactly from a saved state, in place: `module` and `parameters` stay the same objects.

        Raises ShapeError, and loads nothing, if the state is of another module; GrammarError when the module raises.
        """
        self._asked("load_state_dict", lambda: load_module(f"player {self.name!r}", self.module, state, in_parts))
        if self.host:
            self.host.load(state["agent"], self.parameters)
        self.moves, self._failure = state["moves"], None

    def twin(self) -> nn.Module:
        """Make a second module with the same factory, seed and state. It shares no tensor with the player's module.

        It is not a deep copy: a deep copy would share objects held by hooks and replaced methods, and cannot copy
        computed weights. Raises GrammarError for a factory that does not make a new module at each call.
        """
        made = _make(self.name, self._factory, self._seed)
        own = {id(each) for each in (*self.module.parameters(), *self.module.buffers())}
        if any(id(each) in own for each in (*made.parameters(), *made.buffers())):
            raise GrammarError(
                f"player {self.name!r} cannot be copied: {self._factory} returned a module that shares parameters or "
                "buffers with the one before; expected new ones at each call. Make the module inside the factory."
            )
        made.to(self.parameters[0].device)
        load_module(f"player {self.name!r}", made, module_state(self.module))
        return made

    def _asked(self, method: str, call: Callable[[], Any]) -> Any:  # Any: results differ
        """Return `call()`, which calls `method` of the player's module. An exception becomes a GrammarError."""
        try:
            return call()
        except AntiphonError:
            raise
        except FOREIGN as error:  # code of a user may raise anything
            raise GrammarError(
                f"player {self.name!r}: its module raised {type(error).__name__} in {method}: {unstopped(error)}. "
                "Expected it to return its state, and to load it. Correct what it saves or loads of its own."
            ) from error

    @property
    def _fails(self) -> bool:
        return self.specification is None or self.specification.on_failure == "fail"

    def _hosted(self) -> AgentHost:
        if self.host is None:
            raise ProtocolError(
                f"player {self.name!r} was to receive a response or move here, but its agent lives on another worker; "
                "expected its moves through install. "
                "Send the response to that worker's AgentHost, or give this player a specification."
            )
        return self.host


def refuse_shared(players: Mapping[str, Player]) -> None:
    """Raise GrammarError if two players share a parameter or buffer.

    On one worker, both agents would update it. On two workers, each player would have its own copy.
    """
    owners: dict[int, str] = {}
    for name, player in players.items():
        for held in (*player.module.parameters(), *player.module.buffers()):
            other = owners.setdefault(id(held), name)
            if other != name:
                raise GrammarError(
                    f"players {other!r} and {name!r} share parameters or buffers; expected each to have its own. "
                    "Make the module inside the factory, or declare one player and ask it twice."
                )


def _make(name: str, factory: Factory, seed: int) -> nn.Module:
    """Make the module with this seed. The random streams of the caller stay unchanged."""
    with forked(seed):
        module = factory()
    if not isinstance(module, nn.Module):
        raise GrammarError(
            f"player {name!r} is made by {factory}, which returned a {type(module).__name__}; "
            "expected a torch.nn.Module. Declare a module class, or a function that returns one."
        )
    return module.train()


def _copy_into(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for target, source in zip(targets, sources, strict=True):
            target.copy_(in_parts(source, target))
