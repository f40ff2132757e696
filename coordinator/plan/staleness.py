"""Bounded staleness: which queries may use older parameters, and which steps of a round may then be delayed.

A query of round t with staleness N uses the parameters that its player had at the start of round t - N. So it need not
wait for the last N moves, and rounds overlap (PipeDream-2BW: Narayanan et al., 2021, with N = 1). The responses are the
gradients at the parameters that the queries of the same round used. The guarantee is weaker than that of exact rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from antiphon.coordinator.plan.coupling import keeps_state
from antiphon.coordinator.plan.placement import Placement
from antiphon.coordinator.plan.step_order import Task
from antiphon.errors import PlacementError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.inference import make_module
from antiphon.grammars.numbers import Natural
from antiphon.grammars.query import Kind
from antiphon.grammars.seeds import forked
from antiphon.transport.message import Phase

Staleness: TypeAlias = Natural | Mapping[str, Natural]
"""How many rounds old the parameters of queries are: one number for all passes of the Query graph, or one by pass."""


def stale_passes(grammar: Grammar, staleness: Staleness) -> Mapping[str, int]:
    """Return the passes of the Query graph whose queries use older parameters, each with their age in rounds.

    Raises PlacementError for a pass that the grammar does not have, and for one that takes values of a pass which is
    not stale.
    """
    names = list(grammar.query.cadences)
    given = staleness if isinstance(staleness, Mapping) else dict.fromkeys(names, staleness)
    for name in given:
        if name not in names:
            raise PlacementError(
                f"staleness was given for {name!r}, which is no pass of grammar {grammar.name!r}; expected one of "
                f"{names}, or one number for all. Correct the name."
            )
    stale = {name: int(age) for name, age in given.items() if age}
    _refuse_ahead(grammar, stale)
    return stale


def _refuse_ahead(grammar: Grammar, stale: Mapping[str, int]) -> None:
    """Raise PlacementError if a stale pass, which is played ahead, takes a value of a pass that is not stale."""
    query = grammar.query
    for node in query.nodes:
        sources = {query.by_name[port.node].query_pass for port in node.inputs if node.query_pass in stale}
        if behind := sorted(sources - stale.keys()):
            raise PlacementError(
                f"staleness was given for pass {node.query_pass!r}, whose node {node.name!r} takes a value of pass "
                f"{behind[0]!r}, which would be played later; expected staleness for both, or for {behind[0]!r} only. "
                "Correct it."
            )


def weaker(grammar: Grammar, staleness: Staleness) -> str:
    """Return one line that says how staleness weakens the guarantee of exact rounds; "" without staleness."""
    told = [
        f"{age} round{'s' * (age > 1)} old in pass {name!r}" for name, age in stale_passes(grammar, staleness).items()
    ]
    if not told:
        return ""
    return (
        f"staleness: queries use parameters {', '.join(told)}; what is promised of a response holds at the parameters "
        "of its query, not at the newest ones"
    )


def ages(grammar: Grammar, placement: Placement, staleness: Staleness) -> Mapping[str, int]:
    """Return the queries to players and clones, each with the age of its parameters in rounds.

    The age is 0 in all passes that `staleness` does not name.
    Raises PlacementError for an unknown pass, for a sharded player, and for a module that changes its own state when it
    is called (batch norm): its outputs would depend on how rounds overlap.
    """
    stale = stale_passes(grammar, staleness)
    kinds = Kind.PLAYER, Kind.CLONE
    found = {node.name: stale.get(node.query_pass, 0) for node in grammar.query.nodes if node.kind in kinds}
    asked = [grammar.query.by_name[name].owner for name, age in found.items() if age]
    owners = {clone.name: clone.player for clone in grammar.query.clones}
    for player in dict.fromkeys(owners.get(each, each) for each in asked):
        if obstacle := _obstacle(grammar, placement, player):
            raise PlacementError(
                f"player {player!r} was to be queried with older parameters, but {obstacle}; expected a module that a "
                "query leaves as it was, on workers with all of its parameters. Set `staleness` to 0, at least for the "
                "passes that query it."
            )
    return found


def overlapping(grammar: Grammar, tasks: Sequence[Task], staleness: Staleness) -> list[Task]:
    """Return the tasks of a round with delays, so that a round can begin before the earlier rounds have ended.

    If all passes are stale, every response is delayed by the smallest age. Otherwise the stale passes are played one
    round ahead of all other passes. A delayed task does not wait for the undelayed tasks of its turn, which belong
    to a later round. Queries to one oracle keep the order of their rounds. In a pass that is played ahead, players come
    first, because an oracle on another worker waits for them. Oracles come last, because their answers may take long
    (environment steps).
    """
    stale = stale_passes(grammar, staleness)
    if not stale:
        return list(tasks)
    owner = {node.name: node.owner for node in grammar.query.nodes if node.kind is Kind.ORACLE}
    early = [each.phase is Phase.QUERY and grammar.query.by_name[each.node].query_pass in stale for each in tasks]
    asked: dict[str, list[int]] = {}  # the late queries to each oracle
    ahead = any(node.query_pass not in stale for node in grammar.query.nodes)
    delay = 1 if ahead else min(stale.values())
    found = []
    for position, task in enumerate(tasks):
        oracle = owner.get(task.node, "") if task.phase is Phase.QUERY else ""
        if not early[position]:
            asked.setdefault(oracle, []).append(position)
        elif oracle in asked:
            return list(tasks)  # if it were played ahead, the oracle's queries would change their order
    for position, task in enumerate(tasks):
        oracle = owner.get(task.node, "")
        if early[position]:
            after = (*task.after, *(asked.get(oracle, ()) if oracle else ()))
            found.append(replace(task, after=after, limits=None, urgency=-1 if ahead and not oracle else None))
        else:
            after = tuple(each for each in task.after if not early[each])
            late = 0 if task.phase is Phase.QUERY else None  # the responses of its round wait for this query
            found.append(replace(task, after=after, limits=None, delay=delay, urgency=late))
    return found


def _obstacle(grammar: Grammar, placement: Placement, player: str) -> str:
    if player in placement.sharded:
        return "its parameters are sharded"
    query = grammar.query
    with forked():
        module = make_module(query.player_by_name[player].factory)
    for node in query.nodes:
        if (
            node.owner == player
            and node.view is None
            and keeps_state(module, [query.type_of(port) for port in node.inputs], query.sizes)
        ):
            return "its module changes its buffers or extra state when it is called"
    return ""
