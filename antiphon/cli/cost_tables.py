"""Cost reports as tables and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from antiphon.analysis.cost_report import CostReport, Figures
from antiphon.cli.terminal import columns, row
from antiphon.coordinator.traffic import between
from antiphon.grammars.cost import Graph
from antiphon.grammars.locality import LOCAL, NEAR, Locality


def average(total: int, rounds: int) -> str:
    """The average per round, as text; up to three decimals.

    >>> average(300528, 2), average(123, 8), average(1, 3)
    ('150,264', '15.375', '0.333')
    """
    whole, rest = divmod(total, rounds)
    return f"{total / rounds:,.3f}".rstrip("0") if rest else f"{whole:,}"


def main_table(reports: Sequence[CostReport], key: str = "", values: Sequence[str] = ()) -> Table:
    """Messages, bytes, depths and localities per round, predicted above measured.

    key, values: the key of a scan and its value for each report; empty without a scan.
    """
    moving = any(each.found.move_messages for each in reports)
    names = ["grammar", *([key] if key else []), "", "messages Q", "messages R", *(["moves"] if moving else [])]
    names += ["bytes zeroth", "bytes first", "around", "gradients", "depth Q", "depth R", "neighbours", "local"]
    table = _table(names, left=3 if key else 2)
    for position, each in enumerate(reports):
        at = [values[position]] if key else []
        row(table, each.name, *at, "predicted", *_figures(each.predicted, each, moving), "", *_graph_figures(each))
        gradients = average(sum(each.found.gradients.values()), len(each.rounds))
        blank = [""] * (1 + len(at))
        found = _figures(each.found, each, moving)
        row(table, *blank, "measured", *found, average(each.overhead, len(each.rounds)), gradients)
    return table


def query_table(reports: Sequence[CostReport]) -> Table:
    """The number of queries of each oracle per round."""
    table = _table(["grammar", "oracle", "queries predicted", "measured"], left=2)
    for each in reports:
        for oracle, count in each.predicted.queries.items():
            found = average(each.found.queries.get(oracle, 0), len(each.rounds))
            row(table, each.name, oracle, average(count, len(each.rounds)), found)
    return table


def flow_table(reports: Sequence[CostReport], *, machines: bool) -> Table:
    """Messages and bytes per round between workers, or between machines if `machines`."""
    what = "machine" if machines else "worker"
    names = ["grammar", f"from {what}", f"to {what}", "messages", "bytes predicted", "measured"]
    table = _table(names, left=3)
    for each in reports:
        place = each.nodes if machines else None
        planned, measured = between(each.planned, place), between(each.measured, place)
        for (source, target), flow in planned.items():
            found = measured[source, target]
            counts = (found.messages, flow.payload, found.payload)
            row(table, each.name, source, target, *(average(count, len(each.rounds)) for count in counts))
        if not planned:
            row(table, each.name, "(nothing travels)")
    return table


def sum_table(reports: Sequence[CostReport]) -> Table:
    """Terms and bytes that replicas contribute to sums, per round."""
    names = ["grammar", "sum", "terms predicted", "measured", "bytes predicted", "measured"]
    table = _table(names, left=2)
    for each in reports:
        for plan, real in each.sums:
            counts = plan.terms, real.terms, plan.payload, real.payload
            row(table, each.name, plan.reduction.name, *(average(count, len(each.rounds)) for count in counts))
    return table


def message_table(reports: Sequence[CostReport]) -> Table:
    """All messages of Q and R, with their localities."""
    table = _table(["grammar", "graph", "value", "from", "to", "order", "locality", "bytes", "per round"], left=7)
    for each in reports:
        for hop in each.counted.hops:
            locality = str(hop.locality or "")
            head = (each.name, str(hop.graph), hop.value, hop.source, hop.target, str(hop.order), locality)
            row(table, *head, f"{hop.bytes:,}", average(hop.rounds, len(each.rounds)))
    return table


def as_json(each: CostReport) -> dict[str, Any]:  # Any: JSON
    """The report as JSON: totals over all counted rounds."""
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
        "locality": {str(kind): counted.messages(Graph.RESPONSE, frozenset({kind})) for kind in Locality},
        "messages": [{name: _plain(value) for name, value in vars(hop).items()} for hop in counted.hops],
        "between_workers": _flows(each, None),
        "between_machines": _flows(each, each.nodes),
        "sums": [
            {"name": plan.reduction.name, "terms": real.terms, "predicted": plan.payload, "measured": real.payload}
            for plan, real in each.sums
        ],
    }


def disagreements(each: CostReport) -> list[str]:
    """One line for each figure whose measured value differs from the predicted one."""
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
    return [average(total, len(each.rounds)) for total in (*totals, figures.zeroth_bytes, figures.first_bytes)]


def _graph_figures(each: CostReport) -> list[str]:
    counted, rounds = each.counted, len(each.rounds)
    told = average(counted.messages(Graph.RESPONSE), rounds)
    near, local = (average(counted.messages(Graph.RESPONSE, kinds), rounds) for kinds in (NEAR, LOCAL))
    gradients = average(sum(each.predicted.gradients.values()), rounds)
    depths = str(counted.query_depth), str(counted.response_depth)
    return [gradients, *depths, f"{near} of {told}", f"{local} of {told}"]


def _flows(each: CostReport, place: Mapping[str, str] | None) -> list[dict[str, Any]]:  # Any: JSON
    planned, measured = between(each.planned, place), between(each.measured, place)
    return [
        {"from": source, "to": target, "messages": found.messages, "predicted": flow.payload, "measured": found.payload}
        for (source, target), flow in planned.items()
        for found in [measured[source, target]]
    ]


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int) else str(value)


def _table(names: Sequence[str], left: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns(table, *names, left=left)
    return table
