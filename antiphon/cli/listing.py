"""`antiphon list`: grammars with their guarantees and players, experiments, and what other distributions bring.

Nothing is built: what is told of a grammar stands in the experiment of its name, and a test holds it to the grammar.
"""

import tomllib
from collections.abc import Iterable

from antiphon.experiments.shipped import heading, parts, shipped
from antiphon.plugins import AGENTS, ENVIRONMENTS, GRAMMARS, installed
from antiphon.recipes import LIBRARY


def listing() -> str:
    """Two tables, as plain text; a third of what other distributions bring, if they bring anything."""
    experiments = shipped()
    first = [("grammar", "guarantee", "players", "oracles"), *((name, *parts(experiments[name])) for name in LIBRARY)]
    second = [("experiment", "grammar", "rounds", "what it is"), *map(_experiment_row, experiments)]
    third = [("installed", "what it is", "distribution", "where"), *_installed_rows()]
    return "\n\n".join(_columns(table) for table in (first, second, third) if len(table) > 1)


def _experiment_row(name: str) -> tuple[str, ...]:
    path = shipped()[name]
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return name, table["grammar"], str(table["rounds"]), heading(path)


def _installed_rows() -> Iterable[tuple[str, ...]]:
    """Nothing is imported: what does not import is told by whoever uses it."""
    for what, group in (("grammar", GRAMMARS), ("agent", AGENTS), ("environment", ENVIRONMENTS)):
        for name, point in sorted(installed(group).items()):
            yield name, what, point.dist.name if point.dist else "", point.value


def _columns(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
