"""The command `antiphon list`: grammars with guarantees and players, experiments, and plugins of other distributions.

No grammar is built. The row of a grammar comes from comments in the experiment of the same name. A test compares these
comments with the grammar.
"""

import tomllib
from collections.abc import Iterable

from antiphon.columns import aligned
from antiphon.experiments.shipped import heading, parts, shipped
from antiphon.plugins import AGENTS, ENVIRONMENTS, GRAMMARS, installed
from antiphon.recipes import LIBRARY


def listing() -> str:
    """Return the tables of grammars and experiments as plain text, and a table of plugins if any are installed."""
    experiments = shipped()
    grammars = [(name, *parts(experiments[name])) for name in LIBRARY]
    tables = [aligned(grammars, ("grammar", "guarantee", "players", "oracles"))]
    tables += [aligned(map(_experiment_row, experiments), ("experiment", "grammar", "rounds", "what it is"))]
    if plugins := list(_installed_rows()):
        tables += [aligned(plugins, ("installed", "what it is", "distribution", "where"))]
    return "\n\n".join(tables)


def _experiment_row(name: str) -> tuple[str, ...]:
    path = shipped()[name]
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return name, table["grammar"], table["rounds"], heading(path)


def _installed_rows() -> Iterable[tuple[str, ...]]:
    """Yield one row per plugin. No plugin is imported: an import error is reported when the plugin is used."""
    for what, group in (("grammar", GRAMMARS), ("agent", AGENTS), ("environment", ENVIRONMENTS)):
        for name, point in sorted(installed(group).items()):
            yield name, what, point.dist.name if point.dist else "", point.value
