"""Play rounds as in a run, record all values of Q and all messages of R, and compute reference gradients by torch."""

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
from antiphon.grammars import Grammar, PlayerLoss, Port, State
from antiphon.grammars.reference import Composed, compose, modules_of
from antiphon.transport.message import Phase

States = Mapping[str, State]

PATIENCE = 100
"""Largest number of rounds to play until every player receives a response in the same round."""


@final
@dataclass(frozen=True, eq=False)
class RecordedRound:
    """One recorded round.

    seed: seed of the run. number: number of the round.
    before: all states at the start of the round.
    composed: Q computed again with torch's autograd, for reference gradients.
    messages: the messages of R, by port.
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
        """Compute Q of this round again with other states, but the same answers of black boxes. jolt: see `compose`."""
        played = {port: value.detach() for port, value in self.composed.values.items()}
        return compose(self.composed.grammar, states, self.seed, self.number, played, jolt)


Agents: TypeAlias = AgentSpecification | Mapping[str, AgentSpecification]


def record(
    grammar: Grammar, seed: int, states: States | None = None, first: int = 0, agents: Agents | None = None
) -> Iterator[RecordedRound]:
    """Play and yield rounds without end. Without `agents`, players receive responses but do not move.

    states: the states from which to play; None for the initial states.
    first: number of the first round that is yielded. Without `states`, the rounds before it are played too, so that
    data that is kept between rounds outside the states exists as in a run.
    agents: agents that make the players move.
    """
    seen: dict[Slot, Tensor] = {}
    given = RECORDER if agents is None else moving_all(grammar, agents)
    with InlineExecutor(assign(grammar, given, seed=seed), watch=lambda _, held: seen.update(held)) as executor:
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
    """Return the rounds up to the `count`-th round in which every player receives a response.

    Raises GrammarError if more than `PATIENCE` rounds pass without such a round.
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
    """Group the rounds by kind: rounds in which the same messages of R are sent are of the same kind."""
    found: dict[frozenset[Port], list[RecordedRound]] = {}
    for each in rounds:
        found.setdefault(frozenset(each.messages), []).append(each)
    return list(found.values())


def first_of_each_kind(grammar: Grammar, rounds: Iterable[RecordedRound]) -> list[RecordedRound]:
    """Return the first round of each kind. Two rounds are of the same kind if the same messages of R are sent in both.

    Raises GrammarError if a message of R is not sent within one period of the cadences or `PATIENCE` rounds.
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
    """Return all states after `rounds` rounds in which `players` (all by default) moved and the others stayed fixed."""
    moving = moving_all(grammar, agents)
    if players is not None:
        moving = {name: each if name in players else RECORDER for name, each in moving.items()}
    with InlineExecutor(assign(grammar, moving, seed=seed)) as executor:
        executor.play(rounds)
        return executor.states()


def moving_all(grammar: Grammar, agents: Agents) -> dict[str, AgentSpecification]:
    """Return an agent for each player; players without a given agent get the default agent."""
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
    """Raise GrammarError if the reference has other values than the round: then its gradients cannot be compared."""
    for port, value in composed.values.items():
        if port in played and not _same(value.detach(), played[port]):
            node = grammar.query.by_name[port.node]
            raise GrammarError(
                f"{node.kind} {node.owner!r} of grammar {grammar.name!r} played other values at {port!r} when it was "
                "made anew in the same state and called again; expected the same, to measure promises on. Draw from "
                "torch's generator, and keep what changes in buffers, `get_extra_state` or attributes of the module."
            )


def with_parameters(states: States, player: str, parameters: Mapping[str, Tensor]) -> States:
    """Return the states with these parameters of a player replaced. Its other parameters stay."""
    own = states[player]
    return {**states, player: {**own, "parameters": {**own["parameters"], **parameters}}}


def is_inexact(value: Tensor) -> bool:
    """Return whether a tensor holds floating-point or complex numbers."""
    return value.is_floating_point() or value.is_complex()


def flat_gradient(composed: Composed, player: str, loss: PlayerLoss | None) -> Tensor:
    """Return the reference gradient of a loss in all parameters of a player, as one vector."""
    return flattened(composed.gradient(player, loss))


def flattened(tensors: Iterable[Tensor]) -> Tensor:
    """Return all numbers of the tensors in order, as one vector."""
    return torch.cat([each.reshape(-1) for each in tensors])


def _same(one: Tensor, two: Tensor) -> bool:
    """Return whether two tensors agree to half of their digits; True for integers and booleans.

    Integers and booleans are not compared, because a rounding error may change them.
    """
    if not is_inexact(one):
        return True
    near = math.sqrt(torch.finfo(one.dtype).eps)
    return torch.allclose(one, two, rtol=near, atol=near * _size(one), equal_nan=True)


def _size(values: Tensor) -> float:
    finite = values[values.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _unmoved(grammar: Grammar, states: States) -> dict[str, State]:
    """Return the states with the state of a new `RECORDER` agent for every player."""
    players = {player.name for player in grammar.query.players}
    return {name: {**state, "agent": {"heard": []}} if name in players else state for name, state in states.items()}
