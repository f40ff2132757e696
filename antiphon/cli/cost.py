"""The command `antiphon cost`: cost reports of several grammars, or of several values of one key, side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from antiphon.analysis.cost_report import CostReport, cost_report
from antiphon.cli.cost_scan import Scan, for_grammar, parse_scan, scanned
from antiphon.cli.cost_tables import (
    as_json,
    disagreements,
    flow_table,
    main_table,
    message_table,
    query_table,
    sum_table,
)
from antiphon.cli.output_file import check_output
from antiphon.cli.terminal import say
from antiphon.errors import ExperimentError
from antiphon.experiments.load import parse_change, read_experiment


@dataclass(frozen=True)
class CostOptions:
    """The options of `antiphon cost`. rounds: None counts one period of the grammar's cadences."""

    grammars: tuple[str, ...]
    changes: tuple[str, ...] = ()
    executor: str | None = None
    rounds: int | None = None
    placement: str | None = None
    scan: str | None = None
    out: Path | None = None
    messages: bool = False
    json: bool = False


def cost_command(order: CostOptions, console: Console) -> list[str]:
    """Count and print. Returns one line for each figure whose measured value differs from the predicted one.

    Raises AntiphonError for a wrong grammar, key, placement or path, before any round is played.
    """
    scan = parse_scan(order.scan) if order.scan is not None else None
    if order.out is not None:
        if scan is None:
            raise ExperimentError("--out draws a scan, and --scan was not given. Write it like --scan layers=2,4,8")
        from antiphon.cli.cost_plot import ENDINGS  # here: it needs matplotlib, which tells before anything is counted

        check_output(order.out, ENDINGS)
    reports = _reports(order, scan)
    every = [each for own in reports.values() for each in own]
    if order.json:
        told = [
            {**as_json(each), **_at(scan, position)} for own in reports.values() for position, each in enumerate(own)
        ]
        console.file.write(json.dumps(told, indent=2) + "\n")
    else:
        _show(order, every, scan, console)
    if scan is not None and order.out is not None:
        from antiphon.cli.cost_plot import plot

        plot(order.out, scan.key, scan.values, reports)
        if not order.json:
            say(console, f"plot: {order.out}")
    return [line for each in every for line in disagreements(each)]


def _reports(order: CostOptions, scan: Scan | None) -> Mapping[str, Sequence[CostReport]]:
    changes = dict(map(parse_change, order.changes))
    if order.executor is not None:
        changes["executor"] = order.executor
    found: dict[str, list[CostReport]] = {}
    for name in order.grammars:
        own = for_grammar(name, changes)
        values = scan.values if scan is not None else (None,)
        found[name] = []
        for value in values:
            where = order.placement
            if scan is None:
                experiment = read_experiment(name, own, where)
            else:
                experiment = scanned(name, own, scan.key, value, where)
            found[name].append(cost_report(name, experiment, order.rounds))
    return found


def _at(scan: Scan | None, position: int) -> dict[str, Any]:  # Any: TOML
    return {scan.key: scan.values[position]} if scan is not None else {}


def _show(order: CostOptions, reports: Sequence[CostReport], scan: Scan | None, console: Console) -> None:
    for each in reports if scan is None else ():
        first, last = each.rounds.start, each.rounds.stop - 1
        over = f"round {first}" if first == last else f"rounds {first} to {last}"
        say(
            console,
            f"{each.name}: {over}, {len(each.placement.names)} workers, executor {each.executor}, "
            f"predicted from the {each.by}",
        )
    values = [str(value) for _ in order.grammars for value in scan.values] if scan is not None else []
    console.print(main_table(reports, scan.key if scan is not None else "", values))
    if scan is not None:
        return
    say(console, "")
    console.print(query_table(reports))
    if any(each.sums for each in reports):
        say(console, "")
        console.print(sum_table(reports))
    if order.messages:
        say(console, "")
        console.print(message_table(reports))
    elsewhere = [each for each in reports if each.by == "schedule" or len(set(each.nodes.values())) > 1]
    for machines in (False, True) if elsewhere else ():
        say(console, "")
        console.print(flow_table(elsewhere, machines=machines))
