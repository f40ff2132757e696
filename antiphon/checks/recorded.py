"""Run rounds of a grammar, record all values and messages, and compute reference gradients by torch's autograd."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.steps import Slot
from antiphon.coordinator.recorder import RECORDER
from antiphon.errors import GrammarError
from antiphon.grammars import Grammar, Loss, Port, State
from antiphon.grammars.reference import Composed, compose, modules_of
from antiphon.transport.message import Phase

States = Mapping[str, State]

PATIENCE = 100
"""Largest number of rounds to run until every player receives a response in the same round."""


@final
@dataclass(frozen=True, eq=False)
class RecordedRound:
    """The values, messages and states of one round of a run.

    seed: seed of the run. number: number of the round.
    before: the states of all players, clones and oracles at the start of the round.
    composed: the Query graph (Q) computed again with torch's autograd, for reference gradients.
    messages: the messages of the Response graph (R), by port.
    responses: the response that each player received, as one vector; players without a response are left out.
    """

    seed: int
    number: int
    before: States
    composed: Composed
    messages: Mapping[Port, Tensor]
    responses: Mapping[str, Tensor]

    @property
    def whole(self) -> bool:
        """Whether every player received a response."""
        return self.responses.keys() == self.composed.grammar.query.player_by_name.keys()

    def recomposed(self, states: States, jolt: Callable[[Tensor], Tensor] | None = None) -> Composed:
        """Compute the Query graph of this round again with other states. Answers of black boxes stay the same.

        jolt: a function that changes every computed value that depends on parameters; None changes nothing.
        """
        played = {port: value.detach() for port, value in self.composed.values.items()}
        return compose(self.composed.grammar, states, self.seed, self.number, played, jolt)


Agents: TypeAlias = AgentSpecification | Mapping[str, AgentSpecification]


def record(
    grammar: Grammar, seed: int, states: States | None = None, first: int = 0, agents: Agents | None = None
) -> Iterator[RecordedRound]:
    """Run rounds of a grammar without end, and yield each round as a record.

    states: the states at the first round; None for the initial states.
    first: number of the first round that is yielded. Without `states`, all earlier rounds are run too, because a module
    may keep data outside its state.
    agents: agents that make the players move; if None, players receive responses but do not move.
    """
    seen: dict[Slot, Tensor] = {}
    given = RECORDER if agents is None else moving_all(grammar, agents)
    with InlineExecutor(
        assign(grammar, given, seed=seed, on_nonfinite="warn"), watch=lambda _, held: seen.update(held)
    ) as executor:
        if states is not None:
            executor.load(_unmoved(grammar, states), first)
        elif first:
            executor.play(first)
        while True:
            before, number = executor.states(), executor.round
            modules = modules_of(grammar, before, seed, executor.modules())  # before the round, which may change them
            seen.clear()
            executor.play(1)
            yield _recorded(grammar, before, modules, seed, number, seen)


def until_whole(rounds: Iterable[RecordedRound], count: int = 1) -> list[RecordedRound]:
    """Take rounds until every player has received a response in `count` of them, and return all rounds taken.

    Raises GrammarError if more than `PATIENCE` rounds pass without a round in which every player receives a response.
    """
    found: list[RecordedRound] = []
    whole = 0
    for each in rounds:
        found.append(each)
        whole += each.whole
        if whole == count:
            break
        if not whole and len(found) > PATIENCE:
            grammar = each.composed.grammar
            raise GrammarError(
                f"in {PATIENCE} rounds of grammar {grammar.name!r} there was none in which all of "
                f"{sorted(grammar.query.player_by_name)} received a response; expected one, to measure the promises "
                "on. Check an instance with shorter cadences."
            )
    return found


def by_kind(rounds: Iterable[RecordedRound]) -> list[list[RecordedRound]]:
    """Group the rounds: rounds in which the same messages of the Response graph are sent are in the same group."""
    found: dict[frozenset[Port], list[RecordedRound]] = {}
    for each in rounds:
        found.setdefault(frozenset(each.messages), []).append(each)
    return list(found.values())


def first_of_each_kind(grammar: Grammar, rounds: Iterable[RecordedRound]) -> list[RecordedRound]:
    """Return the first round for every set of messages that a round sends.

    Raises GrammarError if a message of the Response graph is in none of these rounds. Rounds are taken for one period
    of the grammar's cadences, at most `PATIENCE`.
    """
    cadences = [each.cadence for each in grammar.query.passes]
    period = math.lcm(*(each.every for each in cadences)) + max(each.start for each in cadences)
    count, found = min(period, PATIENCE), dict[frozenset[Port], RecordedRound]()
    for each in itertools.islice(rounds, count):
        found.setdefault(frozenset(each.messages), each)
    used = {port for node in grammar.response.nodes for port in node.inputs}
    if missing := sorted(map(repr, used.difference(*found))):
        raise GrammarError(
            f"in {count} rounds of grammar {grammar.name!r} the message {missing[0]} was not sent; expected every "
            "message of R in one of them, to measure the promises on. Check an instance with shorter cadences."
        )
    return list(found.values())


def learned(
    grammar: Grammar,
    seed: int,
    agents: Agents,
    rounds: int,
    players: frozenset[str] | None = None,
) -> States:
    """Run `rounds` rounds in which `players` learn and all other players stay fixed. Returns all states afterwards.

    players: names of the players that learn; None for all. agents: one agent for all players, or an agent by player.
    """
    moving = moving_all(grammar, agents)
    if players is not None:
        moving = {name: each if name in players else RECORDER for name, each in moving.items()}
    with InlineExecutor(assign(grammar, moving, seed=seed, on_nonfinite="warn")) as executor:
        executor.play(rounds)
        return executor.states()


def moving_all(grammar: Grammar, agents: Agents) -> dict[str, AgentSpecification]:
    """Return the agent of each player, by name. Players that are not in `agents` get the default agent."""
    names = [player.name for player in grammar.query.players]
    given = dict.fromkeys(names, agents) if isinstance(agents, AgentSpecification) else dict(agents)
    return {name: given.get(name) or AgentSpecification.of() for name in names}


def _recorded(
    grammar: Grammar,
    before: States,
    modules: Mapping[str, nn.Module],
    seed: int,
    number: int,
    seen: Mapping[Slot, Tensor],
) -> RecordedRound:
    played = {slot.port: value for slot, value in seen.items() if slot.phase is Phase.QUERY}
    messages = {slot.port: value for slot, value in seen.items() if slot.phase is Phase.RESPONSE}
    told = {
        delivery.player: messages[delivery.message].reshape(-1)
        for delivery in grammar.response.deliveries
        if delivery.message in messages
    }
    composed = compose(grammar, before, seed, number, played, modules=modules)
    _refuse_other_values(grammar, composed, played)
    return RecordedRound(seed, number, before, composed, messages, told)


def _refuse_other_values(grammar: Grammar, composed: Composed, played: Mapping[Port, Tensor]) -> None:
    """Raise GrammarError if the Query graph, computed again by torch, has other values than in the recorded round.

    composed: the Query graph computed again. played: the values in the round, by port.
    """
    for port, value in composed.values.items():
        if port in played and not _same(value.detach(), played[port]):
            node = grammar.query.by_name[port.node]
            raise GrammarError(
                f"{node.kind} {node.owner!r} of grammar {grammar.name!r} played other values at {port!r} when it was "
                "made anew in the same state and called again; expected the same, to measure promises on. Draw from "
                "torch's generator, and keep what changes in buffers, `get_extra_state` or attributes of the module."
            )


def with_parameters(states: States, player: str, parameters: Mapping[str, Tensor]) -> States:
    """Return a copy of `states` in which the given parameters of one player are replaced.

    parameters: new values by name; parameters of the player that are not named stay.
    """
    own = states[player]
    return {**states, player: {**own, "parameters": {**own["parameters"], **parameters}}}


def is_inexact(value: Tensor) -> bool:
    """Return whether a tensor holds floating-point or complex numbers."""
    return value.is_floating_point() or value.is_complex()


def flat_gradient(composed: Composed, player: str, loss: Loss | None) -> Tensor:
    """Return torch's gradient of a loss with respect to all parameters of a player, as one vector.

    loss: None for the grammar's objective.
    """
    return flattened(composed.gradient(player, loss))


def flattened(tensors: Iterable[Tensor]) -> Tensor:
    """Flatten the tensors, and concatenate them to one vector."""
    return torch.cat([each.reshape(-1) for each in tensors])


def _same(one: Tensor, two: Tensor) -> bool:
    """Return whether two tensors are equal to half of their digits.

    Integers and booleans always count as equal, because a rounding error before a rounding or a comparison may change
    them.
    """
    if not is_inexact(one):
        return True
    near = math.sqrt(torch.finfo(one.dtype).eps)
    return torch.allclose(one, two, rtol=near, atol=near * _size(one), equal_nan=True)


def _size(values: Tensor) -> float:
    finite = values[values.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _unmoved(grammar: Grammar, states: States) -> dict[str, State]:
    """Return a copy of `states` in which the agent of every player is replaced by an agent that does not move it."""
    players = {player.name for player in grammar.query.players}
    return {name: {**state, "agent": {"heard": []}} if name in players else state for name, state in states.items()}
