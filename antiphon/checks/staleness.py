"""Measure bounded staleness: the age of the parameters of each query, and whether responses are gradients at them.

The guarantee of a game with staleness N is weaker than that of exact rounds: each query uses parameters that are at
most N rounds old. An exact response is the gradient at the parameters of its own query, not at the newest parameters.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.checks.recorded import flat_gradient
from antiphon.checks.report import Row, rows_of
from antiphon.checks.suite import Suite
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.staleness import Staleness
from antiphon.coordinator.plan.steps import Query, Slot
from antiphon.errors import FOREIGN, AntiphonError, GrammarError, unstopped
from antiphon.grammars import Exact, Grammar, Loss, Port, State
from antiphon.grammars.playing import steady
from antiphon.grammars.precision import in_float64
from antiphon.grammars.process_state import ProcessState
from antiphon.grammars.promotion import in_double
from antiphon.grammars.query import Node
from antiphon.grammars.reference import compose, modules_of, play
from antiphon.grammars.response import Product
from antiphon.grammars.seeds import forked
from antiphon.transport.message import Phase

AGES = "age of the parameters in queries"
GRADIENTS = "exact, at the parameters of the query"
TOLERANCE = 1e-9
"""Largest relative difference of two equal values in float64: they are computed on another path than in the run."""


def check_staleness(suite: Suite, staleness: Staleness, seed: int = 0, instances: int | None = None) -> tuple[Row, ...]:
    """Run the games of a suite with older parameters, and return the rows of its report.

    For each player and clone: the measured age of the parameters of its queries, in rounds. For each player with an
    exact response: the largest difference from torch's gradient at these parameters.
    staleness: the ages in rounds, for all passes or by pass. seed: seed of the first game of each case. instances:
    number of games of each case; None uses the number that the case declares.
    """
    found: dict[tuple[str, float], list[Measured]] = {}
    for case in suite.cases:
        for number in range(seed, seed + (instances or case.instances)):
            for what, each in _measured(in_float64(case.make(number)), staleness, number):
                found.setdefault((what, each.bound), []).append(replace(each, seed=number))
    return tuple(
        row
        for (what, _), each in sorted(found.items())
        for row in rows_of(suite.grammar, "", what, ", ".join(dict.fromkeys(one.player for one in each)), each)
    )


def _measured(grammar: Grammar, staleness: Staleness, seed: int) -> list[tuple[str, Measured]]:
    try:
        with ProcessState.here().entered(), in_double():
            run = _Run.of(grammar, staleness, seed)
            return [*((AGES, each) for each in run.ages()), *((GRADIENTS, each) for each in run.gradients())]
    except AntiphonError as error:
        error.add_note(f"while measuring staleness of {grammar.name!r}, seed {seed}")
        raise
    except FOREIGN as error:  # code of users may raise anything in float64
        raise GrammarError(
            f"the staleness of grammar {grammar.name!r} cannot be measured with seed {seed}: {type(error).__name__}: "
            f"{unstopped(error)}. Expected modules and losses that compute in float64; correct them."
        ) from error


@final
@dataclass(frozen=True, eq=False)
class _Run:
    """A recorded run whose rounds overlap, with one worker for each player, oracle and loss.

    ages_of: the age that the schedule gives to each query of a player or clone, by node. before: all states at the
    first round. parameters: the parameters of all players and clones at the start of each round, by name. values,
    messages: by round, the values of the Query graph and the messages of the Response graph, by port. modules: modules
    with the parameters from the start of a round, by round; made when they are needed.
    """

    grammar: Grammar
    seed: int
    ages_of: Mapping[str, int]
    before: Mapping[str, State]
    parameters: list[dict[str, dict[str, Tensor]]]
    values: dict[int, dict[Port, Tensor]]
    messages: dict[int, dict[Port, Tensor]]
    modules: dict[int, Mapping[str, nn.Module]] = field(default_factory=dict)

    @classmethod
    def of(cls, grammar: Grammar, staleness: Staleness, seed: int) -> "_Run":
        agents = AgentSpecification.of("SGD", {"lr": 0.05})
        assignment = assign(grammar, agents, placement=spread(grammar), seed=seed, staleness=staleness)
        queries = (step for step in assignment.schedule.steps if isinstance(step, Query))
        ages = {step.node: step.age for step in queries if step.age is not None}
        values: dict[int, dict[Port, Tensor]] = {}
        messages: dict[int, dict[Port, Tensor]] = {}
        parameters: list[dict[str, dict[str, Tensor]]] = []

        def watch(round: int, held: Mapping[Slot, Tensor]) -> None:
            parameters.append(_parameters(executor.modules()))
            for phase, table in ((Phase.QUERY, values), (Phase.RESPONSE, messages)):
                table[round] = {slot.port: value.clone() for slot, value in held.items() if slot.phase is phase}

        with InlineExecutor(assignment, watch=watch) as executor:
            before = executor.states()
            parameters.append(_parameters(executor.modules()))
            executor.play(steady(grammar).start + 2 * assignment.schedule.in_flight + 2)
        return cls(grammar, seed, ages, before, parameters, values, messages)

    def ages(self) -> Iterable[Measured]:
        """Measure the age of the parameters of every query. The bound is the age in the schedule.

        Each query is computed again with the parameters of each earlier round. The parameters that give the recorded
        outputs are those that the query used.
        """
        nodes = [node for node in self.grammar.query.nodes if node.name in self.ages_of]
        for owner in dict.fromkeys(node.owner for node in nodes):
            own = [node for node in nodes if node.owner == owner]
            bound = max(self.ages_of[node.name] for node in own)
            found = [self._age(node, round) for node in own for round in self._last() if self._plays(node, round)]
            most = max((age for age, _ in found), default=0)
            wrong = next((remark for age, remark in found if age == math.inf), "")
            idle = "" if wrong or (found and most == bound) else "its parameters did not move enough to tell their age"
            yield Measured(owner, most, bound, own[0].name if wrong else "", wrong, skipped=idle)

    def gradients(self) -> Iterable[Measured]:
        """Compare each exact response with torch's gradient at the parameters of the age in the schedule."""
        for promise in self.grammar.guarantee.promises:
            if isinstance(promise, Exact):
                for player in promise.players or [each.name for each in self.grammar.query.players]:
                    yield self._gradient(promise.loss or self.grammar.objective.of(player), player)

    def _gradient(self, loss: Loss, player: str) -> Measured:
        message = self.grammar.response.by_name[f"deliver {player}"].inputs[0]
        worst, tells = 0.0, False
        for round in self._last():
            if message not in self.messages[round]:
                continue
            composed = compose(self.grammar, self._then(round), self.seed, round, self.values[round])
            newest = compose(self.grammar, self._states(round), self.seed, round, self.values[round])
            if not composed.plays(loss):
                continue
            told, expected = self.messages[round][message].reshape(-1), flat_gradient(composed, player, loss)
            size = max(float(expected.abs().max()), 1e-300)
            worst = max(worst, float((told - expected).abs().max()) / size)
            other = flat_gradient(newest, player, loss)
            tells |= self._age_of(player) == 0 or float((other - expected).abs().max()) > 1e3 * TOLERANCE * size
        why = (
            "" if tells or worst > TOLERANCE else "its gradient is the same at the newest parameters, or was not played"
        )
        return Measured(player, worst, TOLERANCE, f"deliver {player}" if worst > TOLERANCE else "", skipped=why)

    def _age(self, node: Node, round: int) -> tuple[float, str]:
        said = self.ages_of[node.name]
        near = range(min(round, said + 3) + 1)
        fits = [age for age in near if self._fits(node, round, round - age)]
        if min(said, round) in fits:
            return min(fits), ""
        return math.inf, f"in round {round}, {node.name!r} used parameters {fits or 'of none of them'} rounds old"

    def _fits(self, node: Node, round: int, version: int) -> bool:
        """Return whether a query gives its recorded outputs with the parameters from the start of round `version`."""
        recorded = self.values[round]
        if version not in self.modules:
            self.modules[version] = modules_of(self.grammar, self._states(version), self.seed)
        modules = self.modules[version]
        with forked(), torch.no_grad():
            found = play(self.grammar, node, modules, {}, recorded, None, self.seed, round)
        ports = (Port(node.name, index) for index in range(len(node.outputs)))
        return all(_near(one, recorded[port]) for one, port in zip(found, ports, strict=True))

    def _states(self, version: int) -> dict[str, State]:
        """Return the states with the parameters that all players and clones had at the start of round `version`."""
        then = self.parameters[version]
        return {
            name: {**each, "parameters": then[name]} if name in then else each for name, each in self.before.items()
        }

    def _then(self, round: int) -> dict[str, State]:
        """Return the states with the older parameters at which the responses of `round` are gradients."""
        states = self._states(round)
        for name in self.parameters[round]:
            old = self.parameters[max(0, round - self._age_of(name))][name]
            states[name] = {**states[name], "parameters": old}
        return states

    def _age_of(self, owner: str) -> int:
        """Return the age of a player's queries that get a response. For a clone, return the age of all its queries."""
        answered = {node.of for node in self.grammar.response.nodes if isinstance(node, Product)}
        own = [node.name for node in self.grammar.query.nodes if node.owner == owner]
        return max((self.ages_of[name] for name in [each for each in own if each in answered] or own), default=0)

    def _last(self) -> Iterable[int]:
        return sorted(self.values)[-3 - max(self.ages_of.values(), default=0) :]

    def _plays(self, node: Node, round: int) -> bool:
        return Port(node.name) in self.values[round]


def _parameters(modules: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    return {
        name: {key: each.detach().clone() for key, each in module.named_parameters()}
        for name, module in modules.items()
    }


def _near(one: Tensor, two: Tensor) -> bool:
    return torch.allclose(one, two, rtol=TOLERANCE, atol=TOLERANCE * max(float(two.abs().max()), 1e-300))
