"""Run the same rounds of a grammar in this process and on Ray, to compare the losses."""

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
    """Return the library's grammar `name` with small networks, on the data set digits."""
    return read_experiment(name, {f"{name}.widths": [32, 32], f"{name}.batch": 32}).build()


def played_twice(
    grammar: Grammar, placement: Placement, rounds: int, run: str
) -> tuple[Mapping[str, Losses], Mapping[str, Losses], str]:
    """Run a grammar twice: in this process, and on Ray workers.

    run: name of the run on Ray. Returns (losses in this process, losses on Ray, the kinds of channels on Ray as text).
    """
    agent = AgentSpecification.of("SGD", {"lr": 0.05})
    with InlineExecutor(assign(grammar, agent)) as inline:
        expected = inline.play(rounds).losses
    assignment = assign(grammar, agent, placement=placement)
    with RayExecutor(assignment, run) as play:
        taken = routes(assignment, play.sites())
        return expected, play.play(rounds).losses, taken


def routes(assignment: Assignment, sites: Mapping[str, Site]) -> str:
    """Return the kinds of channels (such as NCCL) that the workers of an assignment use, as one text.

    sites: machine and device of each worker.
    """
    taken = {route(sites[edge.source], sites[edge.target]) for edge in assignment.schedule.edges.values()}
    return ", ".join(sorted(taken))
