"""The conformance test of agents (optimizers of players): a function that users can run on their own agent."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from antiphon.agents.agent import Agent
from antiphon.errors import AgentError
from antiphon.grammars.oracle import State
from antiphon.grammars.typed import typed
from antiphon.testing.laws import check_laws, demand, demand_methods, demand_saved, spoil

Build: TypeAlias = Callable[[Sequence[Tensor]], Agent]
Disturb: TypeAlias = Callable[[Agent, Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], None]
"""A function that is called after each move: (agent, parameters that the agent was made with, response, move)."""

_TYPES = (((4, 3), torch.float32), ((4,), torch.float32), ((2, 2), torch.float64))
_ROUNDS = 4


@typed
def check_agent(cls: Callable[..., Any], **arguments: Any) -> None:  # Any: of every type, as `cls` takes them
    """Test whether an agent (the optimizer of a player) keeps the contract of the interface `Agent`.

    cls: a class or function; `cls(parameters, **arguments)` must return an agent. The parameters in the test are a
    matrix and a vector of float32, and a matrix of float64.
    Returns None if the contract is kept. Otherwise raises AgentError, whose message names the broken rule, what the
    agent did, and the remedy.
    """
    name = getattr(cls, "__qualname__", repr(cls))
    laws = (_has_methods, _keeps_types, _leaves_responses, _repeats, _adds_up, _keeps_nothing, _continues, _owns_state)
    check_laws(laws, lambda parameters: cls(parameters, **arguments), f"agent {name!r}", AgentError, "an argument")


def _has_methods(build: Build) -> None:
    demand_methods(build(_parameters()), "hear", "move", "state", "load")


def _keeps_types(build: Build) -> None:
    agent = build(_parameters())
    for round in range(_ROUNDS):
        agent.hear(_response(round))
        moved = agent.move()
        arrived = [_type(tensor) for tensor in moved] if isinstance(moved, Sequence) else type(moved).__name__
        expected = [f"{dtype}{shape}" for shape, dtype in _TYPES]
        brought = f"round {round} brought {arrived}"
        demand(arrived == expected, f"moves of {expected}", brought, "Return every parameter, as handed over.")


def _leaves_responses(build: Build) -> None:
    agent = build(_parameters())
    for round in range(_ROUNDS):
        response = _response(round)
        agent.hear(response)
        agent.move()
        kept, changed = _equal(response, _response(round)), f"that of round {round} was changed"
        demand(kept, "responses to be read only", changed, "Work on a copy, not in place.")


def _repeats(build: Build) -> None:
    demand(
        _equal(_play(build), _play(build)),
        "equal responses to bring equal moves",
        "two equal plays differ",
        "Seed what it draws by an argument.",
    )


def _adds_up(build: Build) -> None:
    whole, parts = build(_parameters()), build(_parameters())
    for round in range(_ROUNDS):
        first, second = _response(2 * round), _response(2 * round + 1)
        whole.hear([one + other for one, other in zip(first, second, strict=True)])
        parts.hear(first)
        parts.hear(second)
        moves = zip(whole.move(), parts.move(), strict=True)
        demand(
            all(torch.allclose(one, other, rtol=1e-4, atol=1e-6) for one, other in moves),
            "two responses received before a move to count as their sum",
            f"in round {round} they moved it elsewhere",
            "Add responses up in hear, and begin anew after the move.",
        )


def _spoil_responses(agent: Agent, parameters: Sequence[Tensor], response: Sequence[Tensor], moved: object) -> None:
    spoil(response)


def _spoil_moves(agent: Agent, parameters: Sequence[Tensor], response: object, moved: Sequence[Tensor]) -> None:
    # Not the parameters that are updated in place: they belong to the caller.
    spoil([tensor for tensor in moved if not any(tensor is parameter for parameter in parameters)])


def _spoil_state(agent: Agent, *_: Sequence[Tensor]) -> None:
    spoil(agent.state())


def _keeps_nothing(build: Build) -> None:
    for what, disturb in (("responses", _spoil_responses), ("moves", _spoil_moves)):
        demand(
            _equal(_play(build), _play(build, disturb)),
            f"{what} not to be kept after the move",
            "overwriting them changed the moves that followed",
            "Keep and return copies, or move the handed parameters in place.",
        )


def _continues(build: Build) -> None:
    state, parameters = _midway(build)
    demand_saved(state)
    demand(
        _equal(_resume(build, state, parameters), _play(build)),
        "a loaded agent to continue exactly",
        "its moves differ from those of the agent that was saved",
        "Save all that the next moves depend on, apart from the parameters.",
    )


def _owns_state(build: Build) -> None:
    state, parameters = _midway(build)
    resumed = _resume(build, state, parameters, then=lambda: spoil(state))
    plain = _play(build)
    demand(
        _equal(_play(build, _spoil_state), plain) and _equal(resumed, plain),
        "a state in memory of its own",
        "overwriting a state that was saved or loaded changed the moves that followed",
        "Copy tensors in state and in load.",
    )


def _play(build: Build, disturb: Disturb | None = None) -> Sequence[Tensor]:
    """Make an agent, run all rounds of the test, and return the final parameters. disturb: called after each move."""
    parameters = _parameters()
    return _rounds(build(parameters), parameters, range(_ROUNDS), disturb)


def _rounds(
    agent: Agent, parameters: Sequence[Tensor], rounds: range, disturb: Disturb | None = None
) -> Sequence[Tensor]:
    moved: Sequence[Tensor] = parameters
    for round in rounds:
        response = _response(round)
        agent.hear(response)
        lent = agent.move()
        moved = [tensor.detach().clone() for tensor in lent]
        if disturb is not None:
            disturb(agent, parameters, response, lent)
    return moved


def _midway(build: Build) -> tuple[State, Sequence[Tensor]]:
    """Make an agent, run the first half of the test's rounds, and return (the agent's state, the parameters)."""
    parameters = _parameters()
    agent = build(parameters)
    moved = _rounds(agent, parameters, range(_ROUNDS // 2))
    return agent.state(), moved


def _resume(
    build: Build, state: State, parameters: Sequence[Tensor], then: Callable[[], None] = lambda: None
) -> Sequence[Tensor]:
    """Load a saved state into a new agent, run the second half of the test's rounds, and return the parameters.

    then: a function that is called after the agent's method `load`.
    """
    parameters = [parameter.clone() for parameter in parameters]
    agent = build(parameters)
    agent.load(state)
    then()
    return _rounds(agent, parameters, range(_ROUNDS // 2, _ROUNDS))


def _parameters() -> list[Tensor]:
    return _response(-1)


def _response(round: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1000 + round)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape, dtype in _TYPES]


def _equal(these: Sequence[Tensor], those: Sequence[Tensor]) -> bool:
    return all(torch.equal(this, that) for this, that in zip(these, those, strict=True))


def _type(value: object) -> str:
    return f"{value.dtype}{tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
