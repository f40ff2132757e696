"""The output of `antiphon status`: a table of all runs on a cluster, or the details of one run with its workers."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from antiphon.columns import columns, plain

Told = Mapping[str, Any]  # Any: JSON, see `statuses`


def table_of(runs: Sequence[Told]) -> Table | Text:
    """Return a table of runs on a cluster, with one row for each run."""
    if not runs:
        return Text("the cluster has no runs")
    return columns(map(_row, runs), ("run", "status", "round", "generation", "workers", "began", "grammar"))


def _row(run: Told) -> tuple[object, ...]:
    workers = len(run["workers"]) if "workers" in run else ""
    facts = run["run"], _status(run), _round(run), run.get("generation", ""), workers, _ago(run.get("began", 0))
    return (*facts, run.get("grammar", ""))


def details_of(run: Told) -> Group:
    """Return the details of one run: a line of facts, the error if the run failed, and a table of its workers."""
    facts = [f"run {run['run']}: {_status(run)}", f"grammar {run['grammar']}" if run.get("grammar") else ""]
    facts += [
        f"round {_round(run)}" if _round(run) else "",
        f"generation {run['generation']}" if "round" in run else "",
    ]
    facts += [f"began {_ago(run['began'])}" if run.get("began") else ""]
    parts: list[Text | Table] = [Text(plain(", ".join(fact for fact in facts if fact)))]
    if run.get("error"):
        parts.append(Text(plain(f"error: {run['error']}")))
    if run.get("workers"):
        parts.append(_workers(run["workers"]))
    return Group(*parts)


def _workers(workers: Mapping[str, Told]) -> Table:
    rows = [_worker(name, each) for name, each in workers.items()]
    return columns(rows, ("worker", "round", "stands at", "waits for", "host", "process"))


def _worker(name: str, each: Told) -> tuple[object, ...]:
    if "error" in each:
        return name, "", each["error"]
    round = each["round"] if each["round"] >= 0 else ""
    return name, round, each["action"], each["awaits"], each["host"], each["process"]


def _status(run: Told) -> str:
    if run.get("exit_code") is not None:
        return f"{run['status']}, exit code {run['exit_code']}"
    return f"{run['status']}, asked to end" if run.get("ending") else run["status"]


def _round(run: Told) -> str:
    if "round" not in run:
        return ""
    return f"{run['round']}/{run['rounds']}" if run.get("rounds") else str(run["round"])


def _ago(began: float) -> str:
    """Return the time since `began` as text, such as "3 h ago", in the largest unit that gives at least 1.

    began: a time in seconds, as of `time.time`. For 0, the result is "".

    >>> _ago(0)
    ''
    """
    if not began:
        return ""
    seconds = max(0.0, time.time() - began)
    count, unit = next((seconds // size, unit) for size, unit in _UNITS if seconds >= size or size == 1)
    return f"{count:.0f} {unit} ago"


_UNITS = (86400, "d"), (3600, "h"), (60, "min"), (1, "s")
