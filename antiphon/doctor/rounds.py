"""Play the same rounds in this process and on Ray, to compare the losses."""

from collections.abc import Mapping

from antiphon.agents import AgentSpecification
from antiphon.coordinator.executor import Losses
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import Placement
from antiphon.deploy.executor import RayExecutor
from antiphon.experiments.load import read_experiment
from antiphon.grammars import Grammar
from antiphon.transport.route import Site, route


def small(name: str) -> Grammar:
    """Return a grammar of the library with small networks, on digits."""
    return read_experiment(name, {f"{name}.widths": [32, 32], f"{name}.batch": 32}).build()


def played_twice(
    grammar: Grammar, placement: Placement, rounds: int, run: str
) -> tuple[Mapping[str, Losses], Mapping[str, Losses], str]:
    """Return the losses of the inline executor, those of workers of Ray, and how the workers exchanged messages."""
    agent = AgentSpecification.of("SGD", {"lr": 0.05})
    with InlineExecutor(assign(grammar, agent)) as inline:
        expected = inline.play(rounds).losses
    assignment = assign(grammar, agent, placement=placement)
    with RayExecutor(assignment, run) as play:
        taken = routes(assignment, play.sites())
        return expected, play.play(rounds).losses, taken


def routes(assignment: Assignment, sites: Mapping[str, Site]) -> str:
    """Return the names of the routes that the messages of an assignment take, as one text."""
    taken = {route(sites[edge.source], sites[edge.target]) for edge in assignment.schedule.edges.values()}
    return ", ".join(sorted(taken))
