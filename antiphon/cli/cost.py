"""The command `antiphon cost`: the communication of several grammars, or of one grammar with several settings."""

from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any

from rich.console import Console

from antiphon.analysis.cost_report import CostReport, cost_report
from antiphon.cli.cost_scan import NO_SCAN, for_grammar, parse_scan, scanned
from antiphon.cli.cost_tables import (
    as_json,
    disagreements,
    flow_table,
    main_table,
    message_table,
    query_table,
    step_table,
    sum_table,
)
from antiphon.cli.terminal import say
from antiphon.errors import ExperimentError
from antiphon.output_file import check_output


def cost_command(
    console: Console,
    grammars: Sequence[str],
    changes: Mapping[str, Any],  # Any: TOML
    *,
    rounds: int | None = None,
    placement: str | None = None,
    scan: str | None = None,
    out: Path | None = None,
    messages: bool = False,
    json: bool = False,
) -> list[str]:
    """Count the messages and bytes of grammars, and print the numbers as tables or as JSON.

    Each number is predicted, and measured in a short run. Returns one line of text for each number whose measured value
    differs from the predicted value.

    changes: keys of the experiment and their new values. rounds: number of rounds to count; None counts one period of
    the grammar's cadences. placement: replaces the experiment's placement. scan: "key=value,value,...", to count for
    each value of the key. out: a file for a plot of the scan. messages: whether to list every message.
    Raises AntiphonError for a wrong grammar, key, placement or path, before any round is run.
    """
    steps = parse_scan(scan) if scan is not None else NO_SCAN
    if out is not None:
        if steps is NO_SCAN:
            raise ExperimentError("--out draws a scan, and --scan was not given. Write it like --scan layers=2,4,8")
        from antiphon.cli.cost_plot import ENDINGS  # here: it needs matplotlib, which tells before anything is counted

        check_output(out, ENDINGS)
    reports: dict[str, list[CostReport]] = {}
    for name in grammars:
        own = for_grammar(name, changes)
        experiments = [scanned(name, own, steps.key, value, placement) for value in steps.values]
        reports[name] = [cost_report(name, experiment, rounds) for experiment in experiments]
    every = [each for own in reports.values() for each in own]
    values = [value for _ in reports for value in steps.values]
    if json:
        at = ({steps.key: value} if steps.key else {} for value in values)
        console.file.write(
            dumps([as_json(each) | place for each, place in zip(every, at, strict=True)], indent=2) + "\n"
        )
    elif steps is NO_SCAN:
        _show(every, console, messages)
    else:
        console.print(main_table(every, steps.key, list(map(str, values))))
    if out is not None:
        from antiphon.cli.cost_plot import plot

        plot(out, steps.key, steps.values, reports)
        if not json:
            say(console, f"plot: {out}")
    return [line for each in every for line in disagreements(each)]


def _show(reports: Sequence[CostReport], console: Console, messages: bool) -> None:
    for each in reports:
        first, last = each.rounds.start, each.rounds.stop - 1
        over = f"round {first}" if first == last else f"rounds {first} to {last}"
        say(
            console,
            f"{each.name}: {over}, {len(each.placement.names)} workers, executor {each.executor}, "
            f"predicted from the {each.by}",
        )
    elsewhere = [each for each in reports if each.by == "schedule" or len(set(each.nodes.values())) > 1]
    tables = [main_table(reports), query_table(reports)]
    tables += [step_table(reports)] if any(each.counted.steps for each in reports) else []
    tables += [sum_table(reports)] if any(each.sums for each in reports) else []
    tables += [message_table(reports)] if messages else []
    tables += [flow_table(elsewhere, machines=machines) for machines in (False, True) if elsewhere]
    console.print(tables[0], *(part for table in tables[1:] for part in ("", table)), sep="\n")
