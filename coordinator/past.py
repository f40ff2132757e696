"""Bounded staleness on one worker: keeps the parameters of earlier rounds for the queries that use them."""

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from antiphon.agents.clone import Clone
from antiphon.agents.past_parameters import PastParameters
from antiphon.agents.player import Player
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.steps import Query
from antiphon.grammars.query import Node


@final
class Past:
    """Holds the older parameters of the players and clones of one worker.

    kept: the past parameters of each player or clone that is queried with older parameters, by name. The number of
    kept rounds is the number of rounds in flight.
    """

    def __init__(self, assignment: Assignment, players: Mapping[str, Player], clones: Mapping[str, Clone]) -> None:
        queries = (step for step in assignment.schedule.steps if isinstance(step, Query))
        self._ages = {step.node: step.age for step in queries if step.age}
        query, rounds = assignment.grammar.query, range(assignment.schedule.in_flight)
        asked = {query.by_name[name].owner for name in self._ages}
        of = {clone.name: clone.player for clone in query.clones if clone.name in clones}
        self.kept = {
            name: PastParameters(each.module, [each.twin() for _ in rounds])
            for name, each in players.items()
            if name in asked
        }
        for name in of.keys() & asked:
            copies = [players[of[name]].twin().requires_grad_(False) for _ in rounds]
            self.kept[name] = PastParameters(clones[name].module, copies)

    def module(self, node: Node, round: int) -> nn.Module | None:
        """Return the module with the parameters that `node` uses in `round`; None if it uses the newest ones.

        The module is the same for all rounds that are equal modulo the number of rounds in flight.
        """
        age = self._ages.get(node.name)
        return self.kept[node.owner].at(round - age) if age else None

    def learned(self, node: Node, round: int) -> tuple[Tensor, ...]:
        """Return the older parameters that a response to `node` differentiates by; () without older parameters."""
        older = self.module(node, round)
        return () if older is None else tuple(each for each in older.parameters() if each.requires_grad)

    def keep(self, round: int) -> None:
        """Keep the parameters that all players and clones have now, at the start of `round`."""
        for each in self.kept.values():
            each.keep(round)
