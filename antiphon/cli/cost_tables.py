"""Write cost reports (predicted and measured communication of grammars) as tables and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from antiphon.analysis.cost_report import CostReport, Figures
from antiphon.columns import columns
from antiphon.coordinator.traffic import Flow, between
from antiphon.grammars.cost import Graph
from antiphon.grammars.locality import LOCAL, NEAR, Locality


def average(total: int, report: CostReport) -> str:
    """Return `total` divided by the number of rounds of a cost report, as text with at most three decimals."""
    return f"{total / len(report.rounds):,.3f}".rstrip("0").rstrip(".")


def main_table(reports: Sequence[CostReport], key: str = "", values: Sequence[str] = ()) -> Table:
    """Return the main table of `antiphon cost`: messages, bytes and depths per round of each report.

    Each report has a row of predicted and a row of measured numbers.
    key, values: for a scan, the scanned key, and its value for each report; otherwise empty.
    """
    moving = any(each.found.move_messages for each in reports)
    names = ["grammar", *([key] if key else []), "", "messages Q", "messages R", *(["moves"] if moving else [])]
    names += ["bytes zeroth", "bytes first", "around", "gradients", "depth Q", "depth R", "neighbours", "local"]
    rows = []
    for position, each in enumerate(reports):
        head = [each.name, values[position]] if key else [each.name]
        rows.append([*head, "predicted", *_figures(each.predicted, each, moving), "", *_graph_figures(each)])
        more = average(each.overhead, each), average(sum(each.found.gradients.values()), each)
        rows.append([*([""] * len(head)), "measured", *_figures(each.found, each, moving), *more])
    return columns(rows, names, left=3 if key else 2)


def query_table(reports: Sequence[CostReport]) -> Table:
    """Return a table of the number of queries of each oracle per round, predicted and measured."""
    rows = [
        (each.name, oracle, average(count, each), average(each.found.queries.get(oracle, 0), each))
        for each in reports
        for oracle, count in each.predicted.queries.items()
    ]
    return columns(rows, ["grammar", "oracle", "queries predicted", "measured"], left=2)


def step_table(reports: Sequence[CostReport]) -> Table:
    """Return a table of the steps that each owner of a scan computes one after another per round."""
    rows = [(each.name, owner, average(count, each)) for each in reports for owner, count in each.counted.steps.items()]
    return columns(rows, ["grammar", "scan", "steps"], left=2)


def flow_table(reports: Sequence[CostReport], *, machines: bool) -> Table:
    """Return a table of messages and bytes per round for each pair of workers; of machines, if `machines` is true."""
    what, rows = "machine" if machines else "worker", []
    for each in reports:
        flows = list(_between(each, machines))
        for source, target, planned, measured in flows:
            counts = measured.messages, planned.payload, measured.payload
            rows.append((each.name, source, target, *(average(count, each) for count in counts)))
        if not flows:
            rows.append((each.name, "(nothing travels)"))
    names = ["grammar", f"from {what}", f"to {what}", "messages", "bytes predicted", "measured"]
    return columns(rows, names, left=3)


def sum_table(reports: Sequence[CostReport]) -> Table:
    """Return a table of the all-reduces over replicas of a player: terms and bytes per round."""
    rows = [
        (each.name, plan.reduction.name, *(average(count, each) for count in counts))
        for each in reports
        for plan, real in each.sums
        for counts in [(plan.terms, real.terms, plan.payload, real.payload)]
    ]
    return columns(rows, ["grammar", "sum", "terms predicted", "measured", "bytes predicted", "measured"], left=2)


def message_table(reports: Sequence[CostReport]) -> Table:
    """Return a table with a row for each message of the Query graph (Q) and of the Response graph (R)."""
    names = ["grammar", "graph", "value", "from", "to", "order", "locality", "bytes", "per round"]
    rows = [
        (each.name, hop.graph, hop.value, hop.source, hop.target, hop.order, hop.locality or "", *figures)
        for each in reports
        for hop in each.counted.hops
        for figures in [(f"{hop.bytes:,}", average(hop.rounds, each))]
    ]
    return columns(rows, names, left=7)


def as_json(each: CostReport) -> dict[str, Any]:  # Any: JSON
    """Return a cost report as a dict that JSON can represent. Its numbers are totals over all counted rounds."""
    counted = each.counted
    return {
        "grammar": each.name,
        "first_round": each.rounds.start,
        "rounds": len(each.rounds),
        "executor": each.executor,
        "workers": list(each.placement.names),
        "predicted_from": each.by,
        "agrees": each.agrees,
        "predicted": asdict(each.predicted),
        "measured": {**asdict(each.found), "overhead_bytes": each.overhead},
        "depth": {"Q": counted.query_depth, "R": counted.response_depth},
        "steps": counted.steps,
        "locality": {str(kind): counted.messages(Graph.RESPONSE, frozenset({kind})) for kind in Locality},
        "messages": [{name: _plain(value) for name, value in vars(hop).items()} for hop in counted.hops],
        "between_workers": _flows(each, machines=False),
        "between_machines": _flows(each, machines=True),
        "sums": [
            {"name": plan.reduction.name, "terms": real.terms, "predicted": plan.payload, "measured": real.payload}
            for plan, real in each.sums
        ],
    }


def disagreements(each: CostReport) -> list[str]:
    """Return one line of text for each number of a cost report whose measured value differs from the prediction."""
    predicted, found = asdict(each.predicted), asdict(each.found)
    told = [
        f"{name.replace('_', ' ')}: predicted {predicted[name]}, measured {found[name]}"
        for name in predicted
        if predicted[name] != found[name]
    ]
    told += [
        f"edge {plan.edge.name!r}: predicted {plan.messages} messages and {plan.payload} bytes, "
        f"measured {real.messages} and {real.payload}"
        for plan, real in zip(each.planned, each.measured, strict=True)
        if (plan.messages, plan.payload) != (real.messages, real.payload)
    ]
    told += [
        f"sum {plan.reduction.name!r}: predicted {plan.terms} terms and {plan.payload} bytes, "
        f"measured {real.terms} and {real.payload}"
        for plan, real in each.sums
        if plan != real
    ]
    return [f"grammar {each.name!r}, over {len(each.rounds)} rounds: {line}" for line in told]


def _figures(figures: Figures, each: CostReport, moving: bool) -> list[str]:
    totals = [figures.query_messages, figures.response_messages, *([figures.move_messages] if moving else [])]
    return [average(total, each) for total in (*totals, figures.zeroth_bytes, figures.first_bytes)]


def _graph_figures(each: CostReport) -> list[object]:
    counted = each.counted
    of_response = average(counted.messages(Graph.RESPONSE), each)
    near, local = (average(counted.messages(Graph.RESPONSE, kinds), each) for kinds in (NEAR, LOCAL))
    gradients = average(sum(each.predicted.gradients.values()), each)
    kinds = f"{near} of {of_response}", f"{local} of {of_response}"
    return [gradients, counted.query_depth, counted.response_depth, *kinds]


def _between(each: CostReport, machines: bool) -> Iterator[tuple[str, str, Flow, Flow]]:
    """Yield (source, target, planned traffic, measured traffic) for each pair of workers.

    machines: if true, for each pair of machines instead.
    """
    place = each.nodes if machines else None
    measured = between(each.measured, place)
    for (source, target), planned in between(each.planned, place).items():
        yield source, target, planned, measured[source, target]


def _flows(each: CostReport, machines: bool) -> list[dict[str, Any]]:  # Any: JSON
    return [
        {"from": source, "to": target, "messages": real.messages, "predicted": plan.payload, "measured": real.payload}
        for source, target, plan, real in _between(each, machines)
    ]


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int) else str(value)
