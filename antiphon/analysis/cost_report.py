"""Cost reports: messages, bytes and queries of a grammar, as predicted and as measured in a run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from antiphon.coordinator.executor import Played
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.coordinator.traffic import Summed, Traffic, measured, measured_sums, planned, planned_sums
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.placements import machines
from antiphon.grammars.cost import Cost, Graph, cost
from antiphon.grammars.derived import Derivative
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import homes
from antiphon.grammars.playing import steady
from antiphon.grammars.query import Kind
from antiphon.grammars.response import Product
from antiphon.grammars.types import Order
from antiphon.transport.message import Phase


@dataclass(frozen=True)
class Figures:
    """Numbers of messages, bytes, queries and gradients in a cost report, summed over its rounds.

    query_messages, response_messages: messages of the Query graph (Q) and of the Response graph (R).
    move_messages: messages between a player and its agent on another worker.
    zeroth_bytes, first_bytes: bytes of values, and of gradients.
    queries: number of queries of each oracle.
    gradients: number of vector-Jacobian products of each owner (player, oracle or loss).
    """

    query_messages: int
    response_messages: int
    move_messages: int
    zeroth_bytes: int
    first_bytes: int
    queries: Mapping[str, int]
    gradients: Mapping[str, int]


@dataclass(frozen=True)
class CostReport:
    """The communication of one grammar on a placement, summed over the rounds `rounds`.

    counted: the cost from the graphs of the grammar alone, as if each player and oracle had its own worker.
    planned, measured: the traffic on each edge of the schedule, as planned and as measured in a run.
    sums: (planned, measured) traffic of each all-reduce over replicas.
    nodes: the machine of each worker.
    predicted, found: the predicted and the measured totals.
    by: how the totals are predicted: "graphs" if from `counted`; "schedule" if from `planned`, because some parts share
    a worker or have replicas, or an agent has its own worker.
    """

    name: str
    rounds: range
    executor: str
    placement: Placement
    counted: Cost
    planned: tuple[Traffic, ...]
    measured: tuple[Traffic, ...]
    sums: tuple[tuple[Summed, Summed], ...]
    nodes: Mapping[str, str]
    predicted: Figures
    found: Figures
    by: str

    @property
    def agrees(self) -> bool:
        """Whether every predicted number equals the measured number: totals, traffic of each edge, each all-reduce."""
        edges = [replace(each, overhead=None) for each in self.measured] == list(self.planned)
        return self.predicted == self.found and edges and all(plan == real for plan, real in self.sums)

    @property
    def overhead(self) -> int:
        """Number of measured bytes that are not values or gradients: tags, headers and padding."""
        return sum(each.overhead or 0 for each in self.measured)


def cost_report(name: str, experiment: Experiment, rounds: int | None = None) -> CostReport:
    """Predict the communication of an experiment, run it, and measure the communication.

    name: name of the grammar, for the report. rounds: number of rounds to count; None counts one period of the
    cadences. Rounds before all cadences have begun are run but not counted, so that averages are those of a long run.
    Raises AntiphonError if the experiment cannot be built, placed or run.
    """
    grammar = experiment.build()
    agents = experiment.agents(grammar)
    placement = experiment.placed(grammar)
    moves = {player: agent.cadence for player, agent in agents.items()}
    period = steady(grammar, moves)
    counting = range(period.start, period.start + (rounds or len(period)))
    schedule = experiment.schedule(grammar, agents)
    counted, plan = cost(grammar, counting, moves), planned(schedule, counting)
    alone = spread(grammar)
    plain = (placement.workers, placement.agents, placement.replicas) == (alone.workers, (), ())
    plain &= experiment.microbatches == 1
    with experiment.launch(grammar, agents, placement) as game:
        if counting.start:
            game.play(counting.start)
        played = game.play(len(counting))
        nodes = machines(placement, {worker: address for worker, (address, _) in game.places.items()})
    traffic = measured(schedule, played)
    in_parts = [placement.host_of[player] for player in placement.sharded] if experiment.executor == "ray" else []
    sums = planned_sums(schedule, counting, in_parts), measured_sums(schedule, played)
    return CostReport(
        name,
        counting,
        experiment.executor,
        placement,
        counted,
        plan,
        traffic,
        tuple(zip(*sums, strict=True)),
        nodes,
        _of_cost(counted) if plain else _of_traffic(plan, counted.queries, counted.gradients),
        _of_traffic(traffic, *_asked(grammar, played)),
        "graphs" if plain else "schedule",
    )


def _of_cost(counted: Cost) -> Figures:
    return Figures(
        counted.messages(Graph.QUERY),
        counted.messages(Graph.RESPONSE),
        0,
        counted.bytes(Order.ZEROTH),
        counted.bytes(Order.FIRST),
        counted.queries,
        counted.gradients,
    )


def _of_traffic(traffic: Iterable[Traffic], queries: Mapping[str, int], gradients: Mapping[str, int]) -> Figures:
    messages, payload = Counter[Phase](), Counter[str]()
    for each in traffic:
        messages[each.edge.phase] += each.messages
        payload[str(each.edge.order)] += each.payload
    return Figures(
        messages[Phase.QUERY],
        messages[Phase.RESPONSE],
        messages[Phase.MOVE],
        payload[str(Order.ZEROTH)],
        payload[str(Order.FIRST)],
        queries,
        gradients,
    )


def _asked(grammar: Grammar, played: Played) -> tuple[dict[str, int], dict[str, int]]:
    """Return two counts of a run: the queries of each oracle, and the vector-Jacobian products of each owner.

    An owner is a player, an oracle or a loss.
    """
    query, home = grammar.query, homes(grammar.query)
    asked = {oracle.name: 0 for oracle in query.oracles if any(node.owner == oracle.name for node in query.nodes)}
    products = [node for node in grammar.response.nodes if isinstance(node, Product)]
    gradients = dict.fromkeys((home[node.of] for node in products), 0)
    for name, count in played.queries.items():
        node = query.by_name[name]
        if node.kind is Kind.ORACLE:
            asked[node.owner] += count
        if isinstance(node.view, Derivative):
            gradients[home[name]] = gradients.get(home[name], 0) + count
    for node in products:
        gradients[home[node.of]] += played.products.get(node.name, 0)
    return asked, gradients
